use super::import;

const WHOLE: &str = r#"
model_list:
  - model_name: gpt
    litellm_params: {model: openai/gpt-5-mini, api_key: os.environ/OPENAI_API_KEY, weight: 3}
    model_info: {id: a, input_cost_per_token: 0.00000025, output_cost_per_token: 0.000002}
  - model_name: gpt
    litellm_params: {model: azure/my-gpt, api_base: "https://x.openai.azure.test", api_key: sk-inline-1, api_version: "2024-10-21"}
  - model_name: claude
    litellm_params: {model: anthropic/claude-haiku-4-5, api_key: os.environ/ANTHROPIC_API_KEY, rpm: 10}
  - model_name: local
    litellm_params: {model: openai/tiny, api_base: "http://127.0.0.1:8000/v1", api_key: none}
  - model_name: odd
    litellm_params: {model: telepathy/x}
router_settings: {routing_strategy: simple-shuffle, num_retries: 2, fallbacks: [{gpt: [claude]}]}
litellm_settings: {drop_params: true, success_callback: [langfuse]}
general_settings: {master_key: sk-inline-2}
"#;

#[test]
fn deployments_become_upstreams_and_groups_become_aliases() {
    let imported = import(WHOLE).unwrap();
    let config = imported.config;
    for expected in [
        "name     = \"openai\"\nprovider = \"openai\"\napi_key  = { env = \"OPENAI_API_KEY\" }",
        "base_url = \"http://127.0.0.1:8000/v1\"",
        "provider    = \"azure-deployments\"",
        "name     = \"gpt\"\nstrategy = \"weighted\"",
        "{ target = \"openai/gpt-5-mini\", weight = 3 }",
        "{ target = \"anthropic/claude-haiku-4-5\", weight = 0 }",
        "retries  = 2",
        "name     = \"claude\"\nstrategy = \"fallback\"",
        "model  = \"openai/gpt-5-mini\"\ninput  = 0.25\noutput = 2",
    ] {
        assert!(config.contains(expected), "{expected}\n--\n{config}");
    }
}

#[test]
fn what_is_left_behind_is_told_with_its_place_and_no_secret_is_copied() {
    let imported = import(WHOLE).unwrap();
    let left = imported.left.join("\n");
    for expected in [
        "model_list[2].litellm_params.rpm: ",
        "model_list[4].litellm_params.model: no provider of this name here: `telepathy/x`",
        "litellm_settings.success_callback: ",
        "general_settings.master_key: make keys with `doorward keys create`",
        "model_list[1].litellm_params.api_key: secrets are not copied",
    ] {
        assert!(left.contains(expected), "{expected}\n--\n{left}");
    }
    assert!(!format!("{}{left}", imported.config).contains("sk-inline"));
}

#[test]
fn another_file_is_refused() {
    assert!(import("listen: {}").is_err());
    assert!(import(": : :").is_err());
}
