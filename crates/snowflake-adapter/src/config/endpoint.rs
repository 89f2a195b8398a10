//! Where requests go: the account's own host, or the one that the user names.

use std::net::Ipv6Addr;

use reqwest::Url;
use reqwest::header::HeaderValue;

use super::account::Account;
use super::error::ConfigError;
use super::key;
use super::lookup::{Found, Lookup};

const HOST: &str = "a host name or address, such as myorg-acct1.privatelink.snowflakecomputing.com";

/// The account's name and the base of all URLs.
pub(crate) fn resolve(lookup: &Lookup<'_>) -> Result<(String, Url), ConfigError> {
    let host = lookup.find(&key::HOST)?;
    let account = account(lookup, host.as_ref())?;
    let url = base_url(lookup, host.as_ref(), &account)?;
    Ok((account.name, url))
}

fn account(lookup: &Lookup<'_>, host: Option<&Found>) -> Result<Account, ConfigError> {
    let region = lookup.text(&key::REGION)?;
    if let Some(found) = lookup.find(&key::ACCOUNT)? {
        return match (Account::parse(found.text(), region.as_deref()), host) {
            (Ok(account), _) => Ok(account),
            // The host is given, so the identifier is only a name, and any will do that fits into a token.
            (Err(_), Some(_)) if is_name(found.text()) => Ok(named(found.text())),
            (Err(expected), _) => Err(found.expected(expected)),
        };
    }
    // A host of Snowflake's tells the account.
    host.filter(|host| host.text().to_ascii_lowercase().contains(".snowflakecomputing."))
        .and_then(|host| Account::parse(host.text(), None).ok())
        .ok_or_else(|| {
            ConfigError::missing(lookup.name, "no account is set; set account = \"organisation-account\"")
        })
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&c))
}

fn named(text: &str) -> Account {
    let name = text.split('.').next().unwrap_or(text).to_ascii_uppercase();
    Account { name, host: String::new() }
}

fn base_url(lookup: &Lookup<'_>, host: Option<&Found>, account: &Account) -> Result<Url, ConfigError> {
    let mut url = match host {
        Some(found) => host_url(found.text()).ok_or_else(|| found.expected(HOST))?,
        None => Url::parse(&format!("https://{}", account.host))
            .map_err(|_| ConfigError::missing(lookup.name, "the account gives no valid host; set host"))?,
    };
    let mut http_from = host.filter(|_| url.scheme() == "http").map(|host| host.origin.clone());
    if let Some(found) = lookup.find(&key::PROTOCOL)? {
        let scheme = found.text().to_ascii_lowercase();
        if !["http", "https"].contains(&scheme.as_str()) || url.set_scheme(&scheme).is_err() {
            return Err(found.expected("\"https\", or \"http\" for a host on this machine"));
        }
        http_from = Some(found.origin).filter(|_| scheme == "http");
    }
    if let Some(found) = lookup.find(&key::PORT)? {
        let port = found.text().parse().ok().filter(|port| *port != 0);
        let port: u16 = port.ok_or_else(|| found.expected("a port number from 1 to 65535"))?;
        url.set_port(Some(port)).map_err(|()| found.expected("a port number that fits the host"))?;
    }
    match http_from.filter(|_| !is_loopback(&url)) {
        Some(origin) => {
            Err(ConfigError::PlainHttp { origin, host: url.host_str().unwrap_or_default().to_owned() })
        }
        None => Ok(url),
    }
}

/// A host, perhaps with scheme and port, and nothing else.
fn host_url(text: &str) -> Option<Url> {
    let url = match text.parse::<Ipv6Addr>() {
        Ok(address) => Url::parse(&format!("https://[{address}]")),
        Err(_) if text.contains("://") => Url::parse(text),
        Err(_) => Url::parse(&format!("https://{text}")),
    };
    let url = url.ok()?;
    let bare = url.username().is_empty()
        && url.password().is_none()
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none();
    let host = url.host_str().filter(|host| !host.is_empty())?;
    let fit = bare && ["http", "https"].contains(&url.scheme()) && HeaderValue::from_str(host).is_ok();
    fit.then_some(url)
}

/// Whether requests stay on this machine. Names other than localhost depend on a resolver.
fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}
