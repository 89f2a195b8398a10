//! The built-in sample: three years of a small shop, the same on every machine.
//!
//! | table | rows | columns |
//! |---|---|---|
//! | `regions` | 12 | `id`, `name`, `country` |
//! | `customers` | 3,000 | `id`, `name`, `email` (some NULL), `region_id`, `segment`, `signed_up_on` |
//! | `products` | 160 | `id`, `sku`, `name`, `category`, `price_cents`, `launched_on`, `discontinued_on` (mostly NULL) |
//! | `orders` | 18,000 | `id`, `customer_id`, `ordered_at`, `channel`, `status`, `shipped_on` (NULL until sent), `discount_cents`, `note` (mostly NULL) |
//! | `order_items` | about 40,000 | `order_id`, `line`, `product_id`, `quantity`, `unit_price_cents` |
//!
//! The data have what makes a query worth asking: growth, weekends and a Christmas peak; a few customers and products
//! with most of the sales; customers who come back and many who never do; returns that gather in one category; names
//! in several scripts.

use rusqlite::{Connection, params};

use crate::random::Random;

/// The tables and columns of the sample, for those who are to query it.
pub const DESCRIPTION: &str = "\
A sample shop, 2023-01-01 to 2025-12-31. Money is in integer cents, dates are ISO text.
regions(id, name, country)
customers(id, name, email NULL, region_id -> regions.id, segment: consumer|business|public, signed_up_on)
products(id, sku, name, category, price_cents, launched_on, discontinued_on NULL)
orders(id, customer_id -> customers.id, ordered_at, channel: web|app|store|phone, \
status: placed|shipped|delivered|returned|cancelled, shipped_on NULL, discount_cents, note NULL)
order_items(order_id -> orders.id, line, product_id -> products.id, quantity, unit_price_cents)";

const SCHEMA: &str = "
CREATE TABLE regions (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL, country TEXT NOT NULL);
CREATE TABLE customers (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT,
  region_id INTEGER NOT NULL REFERENCES regions(id), segment TEXT NOT NULL, signed_up_on DATE NOT NULL);
CREATE TABLE products (
  id INTEGER PRIMARY KEY, sku TEXT NOT NULL UNIQUE, name TEXT NOT NULL, category TEXT NOT NULL,
  price_cents INTEGER NOT NULL, launched_on DATE NOT NULL, discontinued_on DATE);
CREATE TABLE orders (
  id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customers(id), ordered_at DATETIME NOT NULL,
  channel TEXT NOT NULL, status TEXT NOT NULL, shipped_on DATE, discount_cents INTEGER NOT NULL, note TEXT);
CREATE TABLE order_items (
  order_id INTEGER NOT NULL REFERENCES orders(id), line INTEGER NOT NULL,
  product_id INTEGER NOT NULL REFERENCES products(id), quantity INTEGER NOT NULL,
  unit_price_cents INTEGER NOT NULL, PRIMARY KEY (order_id, line)) WITHOUT ROWID;
";

const INDEXES: &str = "
CREATE INDEX orders_by_customer ON orders(customer_id);
CREATE INDEX orders_by_time ON orders(ordered_at);
CREATE INDEX items_by_product ON order_items(product_id);
";

const CUSTOMERS: usize = 3_000;
const PRODUCTS: usize = 160;
const ORDERS: i64 = 18_000;

const REGIONS: [(&str, &str); 12] = [
    ("Bayern", "Germany"),
    ("Île-de-France", "France"),
    ("Lombardia", "Italy"),
    ("Skåne", "Sweden"),
    ("Małopolska", "Poland"),
    ("Αττική", "Greece"),
    ("東京", "Japan"),
    ("서울", "South Korea"),
    ("São Paulo", "Brazil"),
    ("Ontario", "Canada"),
    ("California", "United States"),
    ("Queensland", "Australia"),
];
const FIRST_NAMES: [&str; 16] = [
    "Anna",
    "Björn",
    "Chloé",
    "Dmitri",
    "Élodie",
    "Farid",
    "Giulia",
    "Hana",
    "Ingrid",
    "João",
    "Κώστας",
    "Łucja",
    "María",
    "Noah",
    "美咲",
    "Zoë",
];
const LAST_NAMES: [&str; 16] = [
    "Almeida",
    "Bergström",
    "Castelli",
    "Dubois",
    "Eriksen",
    "Ferreira",
    "García",
    "Huber",
    "Ivanova",
    "Jansen",
    "Kowalska",
    "Lefèvre",
    "Müller",
    "Nakamura",
    "O'Brien",
    "Παππάς",
];
const CATEGORIES: [(&str, i64); 8] = [
    ("Books", 900),
    ("Kitchen", 2_500),
    ("Garden", 3_500),
    ("Toys", 1_800),
    ("Clothing", 4_000),
    ("Sports", 5_500),
    ("Audio", 9_000),
    ("Furniture", 24_000),
];
const ADJECTIVES: [&str; 10] =
    ["Classic", "Compact", "Nordic", "Deluxe", "Everyday", "Folding", "Café", "Smart", "Vintage", "Ultra"];

/// Makes the tables and fills them, in one transaction.
pub(crate) fn build(connection: &mut Connection) -> rusqlite::Result<()> {
    let filling = connection.transaction()?;
    filling.execute_batch(SCHEMA)?;
    let calendar = calendar();
    let mut random = Random::new(20_230_101);
    regions(&filling)?;
    let joined = customers(&filling, &calendar, &mut random)?;
    let prices = products(&filling, &calendar, &mut random)?;
    orders(&filling, &calendar, &joined, &prices, &mut random)?;
    filling.execute_batch(INDEXES)?;
    filling.execute_batch("ANALYZE")?;
    filling.commit()
}

/// One day of the three years.
struct Day {
    date: String,
    month: usize,
    weekday: usize,
}

fn calendar() -> Vec<Day> {
    const DAYS: [u32; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut days: Vec<Day> = Vec::with_capacity(1096);
    for year in 2023..=2025 {
        for (month, &length) in DAYS.iter().enumerate() {
            let length = if year == 2024 && month == 1 { 29 } else { length };
            for day in 1..=length {
                let date = format!("{year}-{:02}-{day:02}", month + 1);
                // 2023 began on a Sunday.
                days.push(Day { date, month, weekday: days.len() % 7 });
            }
        }
    }
    days
}

fn regions(connection: &Connection) -> rusqlite::Result<()> {
    let mut insert = connection.prepare("INSERT INTO regions VALUES (?1, ?2, ?3)")?;
    for (id, (name, country)) in (1..).zip(REGIONS) {
        insert.execute(params![id, name, country])?;
    }
    Ok(())
}

/// The day on which each customer signed up, in the order of their ids.
fn customers(connection: &Connection, calendar: &[Day], random: &mut Random) -> rusqlite::Result<Vec<usize>> {
    let mut insert = connection.prepare("INSERT INTO customers VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    let mut joined = Vec::with_capacity(CUSTOMERS);
    for number in 0..CUSTOMERS {
        let id = number + 1;
        // A tenth is there from the first day; the others come evenly.
        let day = number.saturating_sub(CUSTOMERS / 10) * calendar.len() / CUSTOMERS;
        let (first, last) = (random.pick(&FIRST_NAMES), random.pick(&LAST_NAMES));
        let email = (!random.one_in(12)).then(|| format!("customer{id}@example.com"));
        let region = 1 + random.skewed(REGIONS.len());
        let segment = ["consumer", "consumer", "consumer", "business", "public"][random.below(5)];
        insert.execute(params![
            id as i64,
            format!("{first} {last}"),
            email,
            region as i64,
            segment,
            calendar[day].date
        ])?;
        joined.push(day);
    }
    Ok(joined)
}

/// The price of each product, in the order of their ids.
fn products(connection: &Connection, calendar: &[Day], random: &mut Random) -> rusqlite::Result<Vec<i64>> {
    let mut insert = connection.prepare("INSERT INTO products VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
    let mut prices = Vec::with_capacity(PRODUCTS);
    for number in 0..PRODUCTS {
        let id = number + 1;
        let (category, base) = CATEGORIES[number % CATEGORIES.len()];
        let name = format!("{} {} No. {id}", random.pick(&ADJECTIVES), category.trim_end_matches('s'));
        let price = (base / 2 + random.below(base as usize) as i64) / 10 * 10 + 9;
        let ended = random.one_in(10).then(|| calendar[900 + random.below(190)].date.as_str());
        let launched = &calendar[random.below(60)].date;
        insert.execute(params![id as i64, format!("SKU-{id:04}"), name, category, price, launched, ended])?;
        prices.push(price);
    }
    Ok(prices)
}

fn orders(
    connection: &Connection,
    calendar: &[Day],
    joined: &[usize],
    prices: &[i64],
    random: &mut Random,
) -> rusqlite::Result<()> {
    let mut order = connection.prepare("INSERT INTO orders VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?;
    let mut item = connection.prepare("INSERT INTO order_items VALUES (?1, ?2, ?3, ?4, ?5)")?;
    let weights: Vec<i64> = calendar.iter().enumerate().map(|(number, day)| weight(number, day)).collect();
    let total: i64 = weights.iter().sum();
    let (mut passed, mut id) = (0, 0);
    for (number, day) in calendar.iter().enumerate() {
        passed += weights[number];
        let known = joined.partition_point(|&since| since <= number);
        while id < ORDERS * passed / total {
            id += 1;
            let customer = 1 + buyer(known, random);
            let returned = one_order(&mut order, calendar, (id, customer, number, day), random)?;
            items(&mut item, id, prices, returned, random)?;
        }
    }
    Ok(())
}

/// How busy a day is: growing over the years, with a peak before Christmas, a quiet summer and busy weekends.
fn weight(number: usize, day: &Day) -> i64 {
    const SEASON: [i64; 12] = [80, 78, 90, 95, 100, 92, 75, 72, 98, 105, 150, 210];
    let growth = 100 + number as i64 / 10;
    let week = if matches!(day.weekday, 0 | 6) { 140 } else { 100 };
    SEASON[day.month] * growth * week
}

/// Two orders of five come from a loyal few, the others from anybody who has signed up.
fn buyer(known: usize, random: &mut Random) -> usize {
    if random.below(5) < 2 { random.skewed(known) / 2 } else { random.below(known) }
}

/// Writes one order and tells whether it came back.
fn one_order(
    insert: &mut rusqlite::Statement<'_>,
    calendar: &[Day],
    (id, customer, number, day): (i64, usize, usize, &Day),
    random: &mut Random,
) -> rusqlite::Result<bool> {
    // Evenings are busier than mornings.
    let hour = 8 + random.below(8).max(random.below(15));
    let at = format!("{} {hour:02}:{:02}:{:02}", day.date, random.below(60), random.below(60));
    let channel = ["web", "web", "web", "app", "app", "store", "phone"][random.below(7)];
    let sent = calendar.get(number + 1 + random.below(4));
    let status = match (random.below(100), &sent) {
        (0..4, _) => "cancelled",
        (4..11, Some(_)) => "returned",
        (_, None) => "placed",
        (_, Some(_)) if number + 7 > calendar.len() => "shipped",
        _ => "delivered",
    };
    let shipped = sent.filter(|_| status != "cancelled").map(|day| day.date.as_str());
    let discount = if random.one_in(6) { 500 } else { 0 };
    let note = random
        .one_in(40)
        .then(|| *random.pick(&["gift wrap 🎁", "leave at the door", "Vorsicht, Glas!", "急ぎ"]));
    insert.execute(params![id, customer as i64, at, channel, status, shipped, discount, note])?;
    Ok(status == "returned")
}

fn items(
    insert: &mut rusqlite::Statement<'_>,
    order: i64,
    prices: &[i64],
    returned: bool,
    random: &mut Random,
) -> rusqlite::Result<()> {
    let lines = 1 + random.below(3).min(random.below(3)) + random.below(2);
    for line in 1..=lines {
        let mut product = random.skewed(prices.len());
        if returned && random.one_in(2) {
            // What comes back is mostly clothing.
            product = product / CATEGORIES.len() * CATEGORIES.len() + 4;
        }
        let quantity = 1 + random.below(4).min(random.below(4));
        insert.execute(params![order, line as i64, product as i64 + 1, quantity as i64, prices[product]])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        build(&mut connection).unwrap();
        connection
    }

    fn number(connection: &Connection, sql: &str) -> i64 {
        connection.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn the_sample_has_the_rows_it_promises() {
        let sample = sample();
        for (table, rows) in [("regions", 12), ("customers", 3_000), ("products", 160), ("orders", 18_000)] {
            assert_eq!(number(&sample, &format!("SELECT count(*) FROM {table}")), rows, "{table}");
        }
        let items = number(&sample, "SELECT count(*) FROM order_items");
        assert!((30_000..60_000).contains(&items), "{items}");
        assert_eq!(number(&sample, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
    }

    #[test]
    fn the_sample_is_the_same_every_time() {
        let sum = "SELECT sum(unit_price_cents * quantity * line + product_id) FROM order_items";
        assert_eq!(number(&sample(), sum), number(&sample(), sum));
    }

    #[test]
    fn december_sells_most_and_few_customers_buy_most() {
        let sample = sample();
        let peak = "SELECT CAST(strftime('%m', ordered_at) AS INTEGER) FROM orders GROUP BY 1 ORDER BY count(*) DESC";
        assert_eq!(number(&sample, peak), 12);
        let top = "SELECT sum(n) FROM (SELECT count(*) n FROM orders GROUP BY customer_id ORDER BY n DESC LIMIT 300)";
        assert!(number(&sample, top) > 18_000 / 4, "{}", number(&sample, top));
        let once = "SELECT count(*) FROM (SELECT 1 FROM orders GROUP BY customer_id HAVING count(*) = 1)";
        assert!(number(&sample, once) > 100, "{}", number(&sample, once));
        let early = "SELECT count(*) FROM orders JOIN customers c ON c.id = customer_id WHERE ordered_at < signed_up_on";
        assert_eq!(number(&sample, early), 0);
    }

    #[test]
    fn the_description_names_every_table_and_column() {
        let sample = sample();
        let mut columns = sample
            .prepare("SELECT m.name, i.name FROM sqlite_schema m, pragma_table_info(m.name) i WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%'")
            .unwrap();
        let named =
            columns.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))).unwrap();
        for (table, column) in named.map(Result::unwrap) {
            let line = DESCRIPTION.lines().find(|line| line.starts_with(&format!("{table}("))).expect(&table);
            assert!(line.contains(&column), "{table}.{column}");
        }
    }
}
