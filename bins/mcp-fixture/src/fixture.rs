//! The server's own state, and what it answers to each method.

#![expect(
    deprecated,
    reason = "the older era's sampling, roots, logging and subscriptions are served too"
)]

use std::borrow::Cow;
use std::sync::{Arc, Mutex};

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CancelTaskParams, CompleteRequestParams,
    CompleteResult, CompletionInfo, ContentBlock, GetPromptRequestParams, GetPromptResponse,
    GetPromptResult, GetTaskParams, GetTaskResult, Implementation, ListPromptsResult,
    ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, LoggingLevel,
    PaginatedRequestParams, PromptMessage, ProtocolVersion, ReadResourceRequestParams,
    ReadResourceResponse, ReadResourceResult, ResourceContents, Role, ServerCapabilities,
    ServerConfig, SetLevelRequestParams, SubscribeRequestParams, SubscriptionFilter, Tool,
    UnsubscribeRequestParams, UpdateTaskParams,
};
use rmcp::service::{NotificationContext, RequestContext, SubscriptionContext};
use rmcp::task_manager::TaskManager;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::broadcast;

use crate::Era;
use crate::asks::{Gathered, Questions, Round, gather, question};
use crate::catalogue::{Catalogue, PICTURE};
use crate::changes::{Change, Watched, tell_listener, tell_session};

/// What all sessions share.
pub(crate) struct Shared {
    pub(crate) era: Era,
    pub(crate) catalogue: Catalogue,
    pub(crate) changes: broadcast::Sender<Change>,
    pub(crate) cancelled: Mutex<Vec<String>>,
    /// A task outlives the request that began it, which by the newer protocol is all there is.
    pub(crate) tasks: TaskManager,
}

impl Shared {
    pub(crate) fn new(era: Era) -> Arc<Self> {
        Arc::new(Self {
            era,
            catalogue: Catalogue::built_in(),
            changes: broadcast::channel(1024).0,
            cancelled: Mutex::default(),
            tasks: TaskManager::new(),
        })
    }
}

/// One session by the older protocol; one process over standard input and output.
pub(crate) struct Fixture {
    pub(crate) shared: Arc<Shared>,
    pub(crate) kept: Mutex<Option<String>>,
    watched: Watched,
    level: Mutex<LoggingLevel>,
}

impl Fixture {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            kept: Mutex::default(),
            watched: Watched::default(),
            level: Mutex::new(LoggingLevel::Debug),
        }
    }

    /// The level from which on the client wants to see log lines: by request in the newer era,
    /// by session in the older one.
    pub(crate) fn level(&self, cx: &RequestContext<RoleServer>) -> Option<LoggingLevel> {
        if is_modern(cx) {
            return cx.meta.log_level();
        }
        self.level.lock().ok().map(|level| *level)
    }
}

/// Whether a request is one of the newer era.
pub(crate) fn is_modern(cx: &RequestContext<RoleServer>) -> bool {
    cx.protocol_version()
        .is_some_and(|version| version.as_str() >= ProtocolVersion::V_2026_07_28.as_str())
}

/// Reads a value that the server itself has made.
///
/// # Errors
/// It does not have the shape that the protocol wants.
pub(crate) fn made<T: DeserializeOwned>(value: Value) -> Result<T, ErrorData> {
    serde_json::from_value(value)
        .map_err(|error| ErrorData::internal_error(format!("the fixture is wrong: {error}"), None))
}

impl ServerHandler for Fixture {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_tool_list_changed()
            .enable_prompts()
            .enable_prompts_list_changed()
            .enable_resources()
            .enable_resources_list_changed()
            .enable_resources_subscribe()
            .enable_logging()
            .enable_completions()
            .enable_tasks()
            .build();
        ServerConfig::new(capabilities)
            .with_server_info(Implementation::new("mcp-fixture", env!("CARGO_PKG_VERSION")))
            .with_instructions("A server for tests. Nothing that it does matters.")
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        const MODERN: &[ProtocolVersion] = &[ProtocolVersion::V_2026_07_28];
        Cow::Borrowed(match self.shared.era {
            Era::Both => ProtocolVersion::KNOWN_VERSIONS,
            Era::Legacy => ProtocolVersion::known_up_to(&ProtocolVersion::V_2025_11_25),
            Era::Modern => MODERN,
        })
    }

    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        let changes = self.shared.changes.subscribe();
        tokio::spawn(tell_session(context.peer, self.watched.clone(), changes));
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(self.shared.catalogue.tools.clone()))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.shared.catalogue.tools.iter().find(|tool| tool.name == name).cloned()
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        self.call(request, &context).await
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        Ok(ListPromptsResult::with_all_items(self.shared.catalogue.prompts.clone()))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        let argument = |name: &str| {
            let value = request.arguments.as_ref().and_then(|all| all.get(name));
            value.and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let say = |text: String| PromptMessage::new_text(Role::User, text);
        let messages = match request.name.as_str() {
            "test_simple_prompt" => vec![say("This is a simple prompt for testing.".into())],
            "test_prompt_with_arguments" => {
                let [first, second] = [argument("arg1"), argument("arg2")];
                vec![say(format!("Prompt with arguments: arg1='{first}', arg2='{second}'"))]
            }
            "test_prompt_with_embedded_resource" => {
                let text = "Embedded resource content for testing.";
                let resource = ResourceContents::text(text, argument("resourceUri"))
                    .with_mime_type("text/plain");
                vec![
                    PromptMessage::new(Role::User, ContentBlock::resource(resource)),
                    say("Please process the embedded resource above.".into()),
                ]
            }
            "test_prompt_with_image" => vec![
                PromptMessage::new(Role::User, ContentBlock::image(PICTURE, "image/png")),
                say("Please analyze the image above.".into()),
            ],
            "test_input_required_result_prompt" => {
                let asked = question("What context should the prompt use?", "context");
                let questions = Questions::from([("user_context".to_owned(), asked)]);
                match gather(&context, questions, &Round::of_prompt(&request), None).await? {
                    Gathered::Required(required) => return Ok(required.into()),
                    Gathered::Answers(answers) => {
                        let told = &answers["user_context"]["content"]["context"];
                        vec![say(format!("The context is {told}."))]
                    }
                }
            }
            other => return Err(ErrorData::invalid_params(format!("no prompt {other}"), None)),
        };
        Ok(GetPromptResult::new(messages).into())
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        let known = ["paris", "park", "party", "test", "tester"];
        let begun = &request.argument.value;
        let values = known.iter().filter(|word| word.starts_with(begun.as_str()));
        let values = values.map(|word| (*word).to_owned()).collect();
        let completion =
            CompletionInfo::new(values).map_err(|error| ErrorData::internal_error(error, None))?;
        Ok(CompleteResult::new(completion))
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        Ok(ListResourcesResult::with_all_items(self.shared.catalogue.resources.clone()))
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let templates = self.shared.catalogue.resource_templates.clone();
        Ok(ListResourceTemplatesResult::with_all_items(templates))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let uri = request.uri.as_str();
        let text = |text: String| ResourceContents::text(text, uri).with_mime_type("text/plain");
        let contents = match uri {
            "test://static-text" => text("This is the content of the static text resource.".into()),
            "test://watched-resource" => text("This resource may change.".into()),
            "test://static-binary" => {
                ResourceContents::blob(PICTURE, uri).with_mime_type("image/png")
            }
            _ => {
                let id = uri.strip_prefix("test://template/").and_then(|u| u.strip_suffix("/data"));
                let marker = uri.strip_prefix("test://marker/");
                match (id, marker) {
                    (Some(id), _) => {
                        let data = format!("Data for ID: {id}");
                        let body = json!({ "id": id, "templateTest": true, "data": data });
                        text(body.to_string()).with_mime_type("application/json")
                    }
                    (_, Some(marker)) => text(marker.to_owned()),
                    _ => {
                        let data = Some(json!({ "uri": uri }));
                        return Err(ErrorData::resource_not_found("Resource not found", data));
                    }
                }
            }
        };
        Ok(ReadResourceResult::new(vec![contents]).into())
    }

    async fn subscribe(
        &self,
        request: SubscribeRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        if let Ok(mut watched) = self.watched.lock() {
            watched.insert(request.uri);
        }
        Ok(())
    }

    async fn unsubscribe(
        &self,
        request: UnsubscribeRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        if let Ok(mut watched) = self.watched.lock() {
            watched.remove(&request.uri);
        }
        Ok(())
    }

    fn accepted_subscription_filter(
        &self,
        requested: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        Some(requested.clone())
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        tell_listener(context, self.shared.changes.subscribe()).await
    }

    async fn set_level(
        &self,
        request: SetLevelRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        if let Ok(mut level) = self.level.lock() {
            *level = request.level;
        }
        Ok(())
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        _: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        self.shared.tasks.get_task(&request.task_id).map(GetTaskResult::new)
    }

    async fn update_task(
        &self,
        request: UpdateTaskParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.shared.tasks.update_task(&request.task_id, request.input_responses)
    }

    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.shared.tasks.cancel_task(&request.task_id)
    }
}
