//! What a file was before this server was registered in it.

use std::path::Path;

use serde_json::Value;

use super::document::{self, Unfit};
use super::entry::runs_this_server;

/// How a registration is undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undo {
    /// The text of the backup at this place is what was there: registering in it gives the present text.
    Restore(usize),
    /// There was no file: the present one is what registering makes of nothing.
    Remove,
    /// Something else changed since; this is the present text without our entry.
    Edit(String),
}

/// How `text` loses the entry `name` in the object at `key`; `backups` are the texts that were kept, newest first.
pub fn undo(
    text: &str,
    backups: &[String],
    key: &str,
    name: &str,
    executable: &Path,
) -> Result<Option<Undo>, Unfit> {
    let Some(entry) = named(text, key, name)? else { return Ok(None) };
    let ours = |backup: &str| {
        let kept = named(backup, key, name).ok().flatten();
        kept.is_some_and(|kept| runs_this_server(&kept, executable))
    };
    let leads_here = |backup: &String| {
        !ours(backup) && document::with_entry(backup, key, name, &entry).is_ok_and(|after| after == text)
    };
    if let Some(place) = backups.iter().position(leads_here) {
        return Ok(Some(Undo::Restore(place)));
    }
    if document::with_entry("", key, name, &entry)? == text {
        return Ok(Some(Undo::Remove));
    }
    let had_key = backups.iter().any(|backup| !ours(backup) && document::has_key(backup, key));
    document::without_entry(text, key, name, had_key).map(|text| Some(Undo::Edit(text)))
}

/// The entry `name` in the object at `key`.
pub fn named(text: &str, key: &str, name: &str) -> Result<Option<Value>, Unfit> {
    let found = document::entries(text, key)?.into_iter().rfind(|(known, _)| known == name);
    Ok(found.map(|(_, entry)| entry))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const KEY: &str = "mcpServers";

    fn ours() -> Value {
        json!({"command": "/bin/async-query-mcp", "args": []})
    }

    fn with(text: &str) -> String {
        document::with_entry(text, KEY, "sql", &ours()).unwrap()
    }

    fn undone(text: &str, backups: &[&str]) -> Option<Undo> {
        let backups: Vec<String> = backups.iter().map(|&text| text.to_owned()).collect();
        undo(text, &backups, KEY, "sql", Path::new("/bin/async-query-mcp")).unwrap()
    }

    #[test]
    fn the_backup_that_leads_here_is_what_was_there() {
        for before in ["", "{}", "{ }\n", "{\n}", "{\"mcpServers\": {\n}}", "// nothing\n"] {
            assert_eq!(undone(&with(before), &["{\"a\": 1}", before]), Some(Undo::Restore(1)), "{before:?}");
        }
    }

    #[test]
    fn a_file_that_we_made_goes() {
        assert_eq!(undone(&with(""), &[]), Some(Undo::Remove));
    }

    #[test]
    fn an_entry_of_somebody_else_comes_back_and_one_of_ours_does_not() {
        let foreign = "{\n  \"mcpServers\": {\n    \"sql\": {\"command\": \"other\"}\n  }\n}\n";
        assert_eq!(undone(&with(foreign), &[foreign]), Some(Undo::Restore(0)));
        let earlier = json!({"command": "/bin/async-query-mcp", "args": ["--ephemeral"]});
        let earlier = document::with_entry("{}", KEY, "sql", &earlier).unwrap();
        assert_eq!(undone(&with(&earlier), &[&earlier, "{}"]), Some(Undo::Restore(1)));
    }

    #[test]
    fn what_the_user_changed_since_stays() {
        let now = with("{}").replacen('{', "{\n  \"theme\": \"dark\",", 1);
        let Some(Undo::Edit(text)) = undone(&now, &["{}"]) else { panic!("not edited") };
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), json!({"theme": "dark"}));
        let Some(Undo::Edit(text)) = undone(&now, &["{\"mcpServers\": {}}"]) else { panic!("not edited") };
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), json!({"theme": "dark", "mcpServers": {}}));
    }

    #[test]
    fn without_an_entry_nothing_is_to_be_undone() {
        assert_eq!(undone("{\"mcpServers\": {}}", &[]), None);
    }
}
