//! What agents are told in `docs/agents.md` names what there is, and all of it.

use std::collections::HashSet;

use mcp_server::config::Settings;
use mcp_server::tools::ToolName;

use crate::{pages, reference};

#[test]
fn the_page_for_agents_names_every_tool_status_and_error_type() {
    let page = pages::one("docs/agents.md");
    let code: HashSet<String> = page.code().into_iter().collect();
    let tools = ToolName::ALL.map(|tool| tool.as_str().to_owned());
    let statuses = ["pending", "running", "succeeded", "failed", "canceled", "timeout"].map(str::to_owned);
    let kinds = reference::error_types();
    assert!(kinds.len() > 25, "{kinds:?}");
    for word in tools.into_iter().chain(statuses).chain(kinds) {
        assert!(code.contains(&word), "docs/agents.md does not name `{word}`");
    }
}

#[test]
fn the_text_to_paste_uses_words_that_the_tools_know() {
    let page = pages::one("docs/agents.md");
    let blocks = page.blocks("markdown");
    let [text] = blocks.as_slice() else { panic!("{} texts to paste", blocks.len()) };
    let settings = Settings { export_dir: Some("/x".into()), ..Settings::default() };
    let known: HashSet<String> = ToolName::ALL
        .into_iter()
        .flat_map(|tool| {
            let definition = serde_json::to_value(tool.definition(&settings)).unwrap();
            let names = ["inputSchema", "outputSchema"].into_iter().flat_map(move |schema| {
                let properties = definition[schema]["properties"].as_object().cloned().unwrap_or_default();
                properties.into_iter().map(|(name, _)| name)
            });
            names.chain([tool.as_str().to_owned()]).collect::<Vec<_>>()
        })
        .chain(reference::error_types())
        .chain(["running", "pending", "canceled", "timeout", "error.type", "true"].map(str::to_owned))
        .collect();
    for code in text.split('`').skip(1).step_by(2) {
        assert!(known.contains(code), "the text to paste says `{code}`");
    }
}
