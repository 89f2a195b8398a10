//! Account identifiers in all forms that people have them, and what follows from them: a host and a name.

use reqwest::Url;

/// What Snowflake's hosts end with.
const SUFFIXES: [(&str, &str); 3] = [
    (".snowflakecomputing.com", "com"),
    (".snowflakecomputing.cn", "cn"),
    (".snowflakecomputing.mil", "mil"),
];
/// The region whose accounts have no region in their host.
const HOME_REGION: &str = "us-west-2";
const FORMS: &str = "an account identifier: organisation-account (the preferred form), a locator with its region \
                     such as xy12345.eu-central-1, or the account's URL";

/// An account as the protocols and the network name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    /// Upper case, without region and suffix.
    pub(crate) name: String,
    /// Its host.
    pub(crate) host: String,
}

impl Account {
    /// Reads an identifier, a host or a URL; `region` is the old setting of that name. The error tells what was
    /// expected.
    pub(crate) fn parse(text: &str, region: Option<&str>) -> Result<Self, String> {
        let (identifier, domain) = identifier(text.trim())?;
        let mut parts: Vec<&str> = identifier.split('.').collect();
        if !parts.iter().all(|part| is_label(part)) {
            return Err(FORMS.to_owned());
        }
        let region = region.map(str::to_ascii_lowercase);
        if let (1, Some(region)) = (parts.len(), &region) {
            parts.extend(region.split('.'));
        }
        if domain.is_none() {
            check_region(&parts)?;
        }
        Ok(Self { name: name(&parts), host: host(&parts, domain) })
    }
}

/// The account's name in tokens and sign-in requests. The part after the hyphen of a `.global` name is not in it.
fn name(parts: &[&str]) -> String {
    let first = parts.first().copied().unwrap_or_default();
    let global = parts.last().is_some_and(|part| part.eq_ignore_ascii_case("global"));
    let name = if global { first.split('-').next().unwrap_or(first) } else { first };
    name.to_ascii_uppercase()
}

fn host(parts: &[&str], domain: Option<&str>) -> String {
    let china = parts.iter().skip(1).any(|part| part.starts_with("cn-"));
    let domain = domain.unwrap_or(if china { "cn" } else { "com" });
    let parts = match parts {
        [account, HOME_REGION] | [account, HOME_REGION, "aws"] => std::slice::from_ref(account),
        parts => parts,
    };
    // Certificates know no underscores; Snowflake answers to hyphens in their place.
    format!("{}.snowflakecomputing.{domain}", parts.join(".").replace('_', "-")).to_ascii_lowercase()
}

/// The identifier in lower case, and the domain where a host or URL came with one.
fn identifier(text: &str) -> Result<(String, Option<&'static str>), String> {
    let lower = text.to_ascii_lowercase();
    let is_host = SUFFIXES.iter().any(|(suffix, _)| lower.contains(suffix));
    if !text.contains("://") && !is_host && !lower.starts_with("app.snowflake.com/") {
        return Ok((lower, None));
    }
    let url = if text.contains("://") { Url::parse(text) } else { Url::parse(&format!("https://{text}")) };
    let url = url.map_err(|_| FORMS.to_owned())?;
    let host = url.host_str().unwrap_or_default();
    if host == "app.snowflake.com" {
        return console(&url).map(|identifier| (identifier, None));
    }
    for (suffix, domain) in SUFFIXES {
        if let Some(identifier) = host.strip_suffix(suffix) {
            return Ok((identifier.to_owned(), Some(domain)));
        }
    }
    Err(format!("{FORMS}; a host outside of snowflakecomputing.com goes into host"))
}

/// The address of the web console: `/organisation/account` or `/region/locator`.
fn console(url: &Url) -> Result<String, String> {
    let mut path = url.path_segments().into_iter().flatten();
    match (path.next(), path.next()) {
        (Some(region), Some(locator)) if region.contains(['-', '.']) => Ok(format!("{locator}.{region}")),
        (Some(organisation), Some(account)) => Ok(format!("{organisation}-{account}")),
        _ => Err(FORMS.to_owned()),
    }
}

fn is_label(part: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    !part.is_empty()
        && part.len() <= 128
        && part.chars().all(inner)
        && !part.starts_with('-')
        && !part.ends_with('-')
}

/// Regions have a hyphen. Without one it is most likely the dotted form that SQL uses, whose host does not exist.
fn check_region(parts: &[&str]) -> Result<(), String> {
    match parts {
        [organisation, account] if !account.contains('-') && !["global", "privatelink"].contains(account) => {
            Err(format!("{FORMS}; {account} is no region, so perhaps {organisation}-{account}"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_gives_its_name_and_host() {
        let cases = [
            ("myorg-acct1", "MYORG-ACCT1", "myorg-acct1.snowflakecomputing.com"),
            ("MyOrg-My_Acct", "MYORG-MY_ACCT", "myorg-my-acct.snowflakecomputing.com"),
            ("xy12345", "XY12345", "xy12345.snowflakecomputing.com"),
            ("xy12345.eu-central-1", "XY12345", "xy12345.eu-central-1.snowflakecomputing.com"),
            ("XY12345.East-US-2.Azure", "XY12345", "xy12345.east-us-2.azure.snowflakecomputing.com"),
            ("xy12345.us-west-2", "XY12345", "xy12345.snowflakecomputing.com"),
            (
                "xy12345.us-west-2.privatelink",
                "XY12345",
                "xy12345.us-west-2.privatelink.snowflakecomputing.com",
            ),
            (
                "xy12345.fhplus.us-gov-west-1.aws",
                "XY12345",
                "xy12345.fhplus.us-gov-west-1.aws.snowflakecomputing.com",
            ),
            ("myorg-acct1.privatelink", "MYORG-ACCT1", "myorg-acct1.privatelink.snowflakecomputing.com"),
            ("xy12345.cn-northwest-1.aws", "XY12345", "xy12345.cn-northwest-1.aws.snowflakecomputing.cn"),
            ("acct-ext.global", "ACCT", "acct-ext.global.snowflakecomputing.com"),
            (
                "https://MyOrg-Acct1.snowflakecomputing.com/",
                "MYORG-ACCT1",
                "myorg-acct1.snowflakecomputing.com",
            ),
            ("myorg-acct1.snowflakecomputing.com:443", "MYORG-ACCT1", "myorg-acct1.snowflakecomputing.com"),
            ("myorg-acct1.snowflakecomputing.cn", "MYORG-ACCT1", "myorg-acct1.snowflakecomputing.cn"),
            (
                "https://app.snowflake.com/myorg/acct1/#/homepage",
                "MYORG-ACCT1",
                "myorg-acct1.snowflakecomputing.com",
            ),
            (
                "https://app.snowflake.com/eu-west-1/xy12345/",
                "XY12345",
                "xy12345.eu-west-1.snowflakecomputing.com",
            ),
        ];
        for (text, name, host) in cases {
            let account = Account::parse(text, None).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((account.name.as_str(), account.host.as_str()), (name, host), "{text}");
        }
    }

    #[test]
    fn the_old_region_setting_completes_a_bare_locator_only() {
        let host = |text, region| Account::parse(text, Some(region)).unwrap().host;
        assert_eq!(host("xy12345", "eu-west-1"), "xy12345.eu-west-1.snowflakecomputing.com");
        assert_eq!(host("xy12345", "us-west-2"), "xy12345.snowflakecomputing.com");
        assert_eq!(host("xy12345", "cn-north-1.aws"), "xy12345.cn-north-1.aws.snowflakecomputing.cn");
        assert_eq!(host("xy12345.eu-west-1", "us-east-1"), "xy12345.eu-west-1.snowflakecomputing.com");
    }

    #[test]
    fn what_could_lead_elsewhere_is_refused() {
        let wrong = [
            "",
            ".",
            "a..b",
            "my account",
            "a/b",
            "user@host",
            "a:b",
            "-a",
            "https://evil.example/",
            "https://evil.example/.snowflakecomputing.com",
            "evil.example/?.snowflakecomputing.com",
            "https://a.snowflakecomputing.com.evil.example",
            "https://",
            "a\n.b",
            "ä",
            "snowflakecomputing.com",
            "https://.snowflakecomputing.com",
            "app.snowflake.com/",
            "myorg.acct1",
        ];
        for text in wrong {
            assert!(Account::parse(text, None).is_err(), "{text:?}");
        }
        assert!(Account::parse("myorg.acct1", None).unwrap_err().contains("perhaps myorg-acct1"));
    }
}
