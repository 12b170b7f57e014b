use std::sync::Mutex;

use doorward_core::{Principal, RequestId, TurnId};
use serde_json::Value;

use super::*;

/// What a policy leaves: `a__read` is seen and called, `a__secret` is neither.
#[derive(Default)]
struct Policed {
    calls: Mutex<Vec<(String, String)>>,
}

impl Tools for Policed {
    fn list<'a>(&'a self, _: &'a Cx, _: &'a Scope) -> BoxFuture<'a, Result<ToolList, CallError>> {
        let definition = r#"{"name":"a__read","description":"Reads a file.","x":1.0}"#;
        let definition = RawValue::from_string(definition.into()).unwrap();
        let tool = ToolSpec { name: ToolName::new("a__read"), server: "a".into(), definition };
        let list = ToolList { tools: vec![Arc::new(tool)], gaps: vec![] };
        Box::pin(async { Ok(list) })
    }

    fn resolve<'a>(
        &'a self,
        _: &'a Cx,
        _: &'a Scope,
        name: &'a str,
    ) -> BoxFuture<'a, Result<ToolName, CallError>> {
        Box::pin(async move { Ok(ToolName::new(name)) })
    }

    fn call<'a>(
        &'a self,
        _: &'a Cx,
        call: ToolCall,
    ) -> BoxFuture<'a, Result<ToolReply, CallError>> {
        let (tool, arguments) = (call.tool.to_string(), call.arguments.get().to_owned());
        let may = tool == "a__read";
        self.calls.lock().unwrap().push((tool, arguments));
        Box::pin(async move {
            if may {
                return Ok(ToolReply::complete(RawValue::from_string("{}".into()).unwrap(), false));
            }
            Err(CallError::new(Code::Forbidden, "no"))
        })
    }
}

fn cx() -> Cx {
    Cx {
        turn: TurnId::from_bytes([1; 16]),
        request: RequestId::from_bytes([2; 16]),
        principal: Arc::new(Principal::person("ann@example.com")),
        agent: None,
        conversation_hint: None,
        deadline: None,
        trace: None,
        source: None,
    }
}

async fn call(tools: &Disclosure, scope: &Scope, name: &str, arguments: &str) -> ToolReply {
    let tool = tools.resolve(&cx(), scope, name).await.unwrap();
    let arguments = RawValue::from_string(arguments.into()).unwrap();
    let call = ToolCall { scope: scope.clone(), ..ToolCall::new(tool, arguments) };
    tools.call(&cx(), call).await.unwrap()
}

fn text(reply: &ToolReply) -> String {
    let result: Value = serde_json::from_str(reply.result.get()).unwrap();
    result["content"][0]["text"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn two_tools_stand_for_all_where_asked() {
    let tools = Disclosure::new(Arc::new(Policed::default())).search(Scope::All);
    let names = async |scope: &Scope| {
        let list = tools.list(&cx(), scope).await.unwrap();
        list.tools.iter().map(|tool| tool.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(&Scope::All).await, [CALL, SEARCH]);
    assert_eq!(names(&Scope::Profile("small".into())).await, ["a__read"]);
    let told = tools.offers(&cx(), &Scope::All).await.unwrap().instructions.unwrap();
    assert!(told.contains(SEARCH), "{told}");
}

#[tokio::test]
async fn a_search_shows_definitions_of_what_may_be_called() {
    let tools = Disclosure::new(Arc::new(Policed::default())).search(Scope::All);
    let found = text(&call(&tools, &Scope::All, SEARCH, r#"{"query":"read a file"}"#).await);
    let whole = r#"{"tools":[{"name":"a__read","description":"Reads a file.","x":1.0}],"of":1}"#;
    assert_eq!(found, whole);
    let none = text(&call(&tools, &Scope::All, SEARCH, r#"{"query":"secret"}"#).await);
    assert_eq!(none, r#"{"tools":[],"of":1}"#);
    for wrong in ["{}", r#"{"query":7}"#, r#"{"query":"a","limit":-1}"#] {
        assert!(call(&tools, &Scope::All, SEARCH, wrong).await.is_error, "{wrong}");
    }
}

#[tokio::test]
async fn a_call_is_judged_as_the_tool_it_names() {
    let policed = Arc::new(Policed::default());
    let tools = Disclosure::new(policed.clone()).search(Scope::All);
    let ok = call(&tools, &Scope::All, CALL, r#"{"name":"a__read","arguments":{"n":1.50}}"#).await;
    assert!(!ok.is_error);
    let refused = call(&tools, &Scope::All, CALL, r#"{"name":"a__secret"}"#).await;
    assert!(refused.is_error && text(&refused).contains("no tool `a__secret`"));
    let calls = policed.calls.lock().unwrap().clone();
    let expected = [("a__read", r#"{"n":1.50}"#), ("a__secret", "{}")];
    assert_eq!(calls, expected.map(|(tool, arguments)| (tool.into(), arguments.into())));
    for wrong in ["{}", r#"{"name":7}"#, r#"{"name":"a__read","arguments":[]}"#] {
        assert!(call(&tools, &Scope::All, CALL, wrong).await.is_error, "{wrong}");
    }
    // A call of `call_tool` through itself finds no such tool.
    let nested = r#"{"name":"call_tool","arguments":{"name":"a__read"}}"#;
    assert!(call(&tools, &Scope::All, CALL, nested).await.is_error);
}
