//! The example configuration is one that clients read.

#[test]
fn the_example_is_valid_and_its_arguments_are_ours() {
    use clap::Parser;
    let text = include_str!("../../../mcp.json.example");
    let example: serde_json::Value = serde_json::from_str(text).unwrap();
    for server in example["mcpServers"].as_object().unwrap().values() {
        let arguments: Vec<&str> =
            server["args"].as_array().unwrap().iter().filter_map(|a| a.as_str()).collect();
        mcp_server::cli::Cli::try_parse_from([&["async-query-mcp"], &arguments[..]].concat()).unwrap();
        for variable in server["env"].as_object().into_iter().flat_map(|env| env.keys()) {
            assert!(variable.starts_with("ASYNC_QUERY_MCP_"), "{variable}");
        }
    }
}
