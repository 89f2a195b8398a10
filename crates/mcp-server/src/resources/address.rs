//! The addresses of results: `async-query://results/QUERY_ID?offset=N&limit=N`.

use registry_core::id::QueryId;

/// All addresses as one RFC 6570 template.
pub(super) const TEMPLATE: &str = "async-query://results/{query_id}{?offset,limit}";
const PREFIX: &str = "async-query://results/";

/// A page of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) id: QueryId,
    /// Rows to skip.
    pub(super) offset: u64,
    /// Most rows of the page.
    pub(super) limit: Option<u64>,
}

/// Why a text is no address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AddressError {
    /// It names nothing that could be here.
    Unknown,
    /// It names a result, but says of the page what cannot be.
    Page(String),
}

impl Address {
    /// The first page of a result.
    pub(super) fn of(id: QueryId) -> Self {
        Self { id, offset: 0, limit: None }
    }

    pub(super) fn parse(text: &str) -> Result<Self, AddressError> {
        let rest = text.strip_prefix(PREFIX).ok_or(AddressError::Unknown)?;
        let (id, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut address = Self::of(id.parse().map_err(|_| AddressError::Unknown)?);
        for part in query.split('&').filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some(("offset", number)) => address.offset = whole("offset", number, 0)?,
                Some(("limit", number)) => address.limit = Some(whole("limit", number, 1)?),
                _ => return Err(AddressError::Page(format!("{part:?} is neither offset=N nor limit=N"))),
            }
        }
        Ok(address)
    }
}

fn whole(name: &str, text: &str, least: u64) -> Result<u64, AddressError> {
    let number = text.parse().ok().filter(|&number| number >= least);
    number.ok_or_else(|| AddressError::Page(format!("{name} must be a whole number, {least} or more")))
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{PREFIX}{}", self.id)?;
        let offset = (self.offset > 0).then(|| format!("offset={}", self.offset));
        let limit = self.limit.map(|limit| format!("limit={limit}"));
        let query: Vec<String> = offset.into_iter().chain(limit).collect();
        if query.is_empty() { Ok(()) } else { write!(f, "?{}", query.join("&")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_as_it_was_written() {
        let id = QueryId::generate();
        for (offset, limit, ending) in [
            (0, None, ""),
            (7, None, "?offset=7"),
            (0, Some(5), "?limit=5"),
            (u64::MAX, Some(1), "?offset=18446744073709551615&limit=1"),
        ] {
            let address = Address { id, offset, limit };
            assert_eq!(address.to_string(), format!("{PREFIX}{id}{ending}"));
            assert_eq!(Address::parse(&address.to_string()), Ok(address));
        }
        let other_order = Address::parse(&format!("{PREFIX}{id}?limit=5&offset=7"));
        assert_eq!(other_order, Ok(Address { id, offset: 7, limit: Some(5) }));
    }

    #[test]
    fn what_is_no_address_is_told_from_a_wrong_page() {
        let id = QueryId::generate();
        let unknown =
            ["", "results", "file:///etc/passwd", "async-query://other/x", "async-query://results/"];
        for text in unknown
            .map(str::to_owned)
            .into_iter()
            .chain([format!("{PREFIX}{id}/x"), format!("{PREFIX}../{id}")])
        {
            assert_eq!(Address::parse(&text), Err(AddressError::Unknown), "{text:?}");
        }
        for page in [
            "offset=-1",
            "offset=x",
            "limit=0",
            "limit=",
            "offset=1.5",
            "page=2",
            "offset",
            "offset=99999999999999999999",
        ] {
            let parsed = Address::parse(&format!("{PREFIX}{id}?{page}"));
            assert!(matches!(parsed, Err(AddressError::Page(_))), "{page}: {parsed:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_an_address_or_none_and_an_address_reads_as_it_was_written(
            id in "(q_)?[0-9a-z]{0,30}", query in "[?&=a-z0-9%#/ \\-é]{0,40}", any in ".*",
        ) {
            for text in [format!("{PREFIX}{id}{query}"), format!("{PREFIX}{any}"), any.clone()] {
                if let Ok(address) = Address::parse(&text) {
                    proptest::prop_assert_eq!(Address::parse(&address.to_string()), Ok(address));
                }
            }
            proptest::prop_assert_eq!(id.parse::<QueryId>().is_ok_and(|parsed| parsed.to_string() != id), false);
        }
    }
}
