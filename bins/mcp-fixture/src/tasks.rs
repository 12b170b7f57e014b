//! Tools that go on as tasks.

use std::time::Duration;

use rmcp::ErrorData;
use rmcp::model::{CallToolResponse, CallToolResult, ContentBlock, CreateTaskResult};
use rmcp::task_manager::{TaskContext, TaskExit, TaskFuture, TaskManager, TaskOptions};
use serde_json::{Value, json};

use crate::asks::form;
use crate::fixture::made;

/// Starts a task.
pub(crate) fn start<F>(tasks: &TaskManager, work: F) -> CallToolResponse
where
    F: FnOnce(TaskContext) -> TaskFuture,
{
    let options = TaskOptions::new().with_poll_interval_ms(100);
    CreateTaskResult::new(tasks.spawn(options, work)).into()
}

fn text(text: impl Into<String>) -> CallToolResult {
    CallToolResult::success(vec![ContentBlock::text(text)])
}

/// Computes, unless it is cancelled before.
pub(crate) fn compute(seconds: Duration, label: String) -> impl FnOnce(TaskContext) -> TaskFuture {
    move |task| {
        Box::pin(async move {
            tokio::select! {
                () = tokio::time::sleep(seconds) => Ok(text(format!("{label} is computed."))),
                () = task.cancelled() => Err(TaskExit::Cancelled),
            }
        })
    }
}

/// Fails after a second, as a tool fails.
pub(crate) fn fail(_: TaskContext) -> TaskFuture {
    Box::pin(async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(CallToolResult::error(vec![ContentBlock::text("The job failed.")]))
    })
}

/// Fails as a server fails.
pub(crate) fn break_down(_: TaskContext) -> TaskFuture {
    Box::pin(async {
        Err(TaskExit::Error(ErrorData::internal_error("the server could not go on", None)))
    })
}

/// Asks questions all at once, and says what was answered.
pub(crate) fn ask(
    questions: Vec<(&'static str, String)>,
) -> impl FnOnce(TaskContext) -> TaskFuture {
    move |task| {
        Box::pin(async move {
            let (first, rest) = questions.split_first().ok_or(TaskExit::Cancelled)?;
            let mut answers = vec![];
            // All are open at once, because the client may answer them in any order.
            let mut open = tokio::task::JoinSet::new();
            for (key, message) in rest.iter().cloned() {
                let task = task.clone();
                open.spawn(async move { answer(&task, key, &message).await });
            }
            answers.push(answer(&task, first.0, &first.1).await?);
            while let Some(done) = open.join_next().await {
                let failed =
                    |_| TaskExit::Error(ErrorData::internal_error("a question failed", None));
                answers.push(done.map_err(failed)??);
            }
            Ok(text(format!("Answered: {}", json!(answers))))
        })
    }
}

async fn answer(task: &TaskContext, key: &str, message: &str) -> Result<Value, TaskExit> {
    let properties = json!({ "confirm": { "type": "boolean" } });
    let request = made(form(message, &properties, &["confirm"]))?;
    task.request_input(key, request).await
}

/// Greets whoever has told the name before the task began.
pub(crate) fn welcome(name: String) -> impl FnOnce(TaskContext) -> TaskFuture {
    move |_| Box::pin(async move { Ok(text(format!("Welcome, {name}."))) })
}
