//! The registry of control commands, and how one is called.

use futures::future::BoxFuture;
use jsonrpsee::core::server::{MethodCallback, MethodResponse};
use jsonrpsee::types::{ErrorObjectOwned, Id, Params};
use jsonrpsee::{Extensions, RpcModule};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::future::Future;
use std::sync::Arc;

/// What a command answers: the text to print, or the text of its refusal.
pub type Answer = Result<String, String>;

type Handler = Arc<dyn Fn(Vec<String>) -> BoxFuture<'static, Answer> + Send + Sync>;

#[derive(Debug, Clone)]
struct Shape {
    usage: String,
    min: usize,
    max: usize,
}

/// The commands a daemon knows.
#[derive(Debug)]
pub struct Commands {
    module: RpcModule<()>,
    shapes: BTreeMap<&'static str, Shape>,
    /// Those that `list-commands` keeps to itself.
    hidden: BTreeSet<&'static str>,
    gate: Gate,
}

/// Whether the command of a name is there now.
struct Gate(Box<dyn Fn(&str) -> bool + Send + Sync>);

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gate")
    }
}

/// JSON-RPC 2.0's code for a command that refused (an application's own error).
const REFUSED: i32 = 1;
/// JSON-RPC 2.0's code for wrong parameters.
const INVALID_PARAMS: i32 = -32602;
/// The longest answer: a full dump of a large table must pass.
const ANSWER_BYTES_AT_MOST: usize = 1 << 30;

impl Commands {
    /// A registry that knows `list-commands` and `version`; `version` is the line to print.
    pub fn new(version: &str) -> Commands {
        let gate = Gate(Box::new(|_| true));
        let mut commands =
            Commands { module: RpcModule::new(()), shapes: BTreeMap::new(), hidden: BTreeSet::new(), gate };
        let version = version.to_owned();
        commands.add("version", "", 0, 0, move |_| Ok(version.clone()));
        // The list itself is made in `call`, where every name is known.
        commands.add("list-commands", "", 0, 0, |_| Ok(String::new()));
        commands
    }

    /// Registers a command that answers at once.
    pub fn add(
        &mut self,
        name: &'static str,
        usage: &str,
        min: usize,
        max: usize,
        handler: impl Fn(&[String]) -> Answer + Send + Sync + 'static,
    ) {
        self.add_later(name, usage, min, max, move |args| {
            let answer = handler(&args);
            async move { answer }
        });
    }

    /// Registers a command that may take its time: it asks an actor, or waits for one.
    pub fn add_later<F>(
        &mut self,
        name: &'static str,
        usage: &str,
        min: usize,
        max: usize,
        handler: impl Fn(Vec<String>) -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = Answer> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |args| Box::pin(handler(args)));
        let shape = Shape { usage: usage.to_owned(), min, max };
        self.shapes.insert(name, shape.clone());
        self.module.remove_method(name);
        let registered = self.module.register_async_method(name, move |params, _, _| {
            let (handler, shape) = (handler.clone(), shape.clone());
            let args = arguments(name, &shape, &params);
            async move {
                let answer = match args {
                    Ok(args) => handler(args).await,
                    Err(text) => return Err(ErrorObjectOwned::owned(INVALID_PARAMS, text, None::<()>)),
                };
                answer.map_err(|text| ErrorObjectOwned::owned(REFUSED, text, None::<()>))
            }
        });
        debug_assert!(registered.is_ok(), "{name} was just removed");
    }

    /// `list-commands` does not tell of this one: it is for tests, or an old name.
    pub fn hide(&mut self, name: &'static str) {
        self.hidden.insert(name);
    }

    /// Some commands are not there at times: `is_there` says of a name whether it is now.
    pub fn gate(&mut self, is_there: impl Fn(&str) -> bool + Send + Sync + 'static) {
        self.gate = Gate(Box::new(is_there));
    }

    /// The registry as jsonrpsee knows it, to be served over HTTP and WebSocket.
    pub fn module(&self) -> &RpcModule<()> {
        &self.module
    }

    /// The text of `list-commands`.
    pub fn list(&self) -> String {
        let mut out = String::from("The available commands are:\n");
        for (name, shape) in self.shapes.iter().filter(|(name, _)| (self.gate.0)(name) && !self.hidden.contains(*name))
        {
            let _ = writeln!(out, "  {name:<23} {}", shape.usage);
        }
        out
    }

    /// Calls a command with the parameters of a JSON-RPC 1.0 request.
    pub async fn call(&self, name: &str, params: &[Value]) -> Answer {
        let known = self.module.method(name).filter(|_| (self.gate.0)(name));
        let Some(MethodCallback::Async(callback)) = known else {
            return Err(format!(
                "\"{name}\" is not a valid command (use \"list-commands\" to see a list of valid commands)"
            ));
        };
        let text = serde_json::to_string(params).map_err(|e| e.to_string())?;
        let params = Params::new(Some(&text)).into_owned();
        let response = callback(Id::Number(0), params, 0_u32.into(), ANSWER_BYTES_AT_MOST, Extensions::new()).await;
        let answer = read_answer(&response)?;
        if name == "list-commands" { Ok(self.list()) } else { Ok(answer) }
    }
}

/// What a command says that was given less than it needs.
pub(crate) fn too_few(name: &str, least: usize) -> String {
    format!("\"{name}\" command requires at least {least} arguments")
}

fn arguments(name: &str, shape: &Shape, params: &Params<'_>) -> Result<Vec<String>, String> {
    let values: Vec<Value> = match params.as_str() {
        None => Vec::new(),
        Some(text) => serde_json::from_str(text).map_err(|e| format!("parameters must be an array: {e}"))?,
    };
    if values.len() < shape.min {
        return Err(too_few(name, shape.min));
    }
    if values.len() > shape.max {
        return Err(format!("\"{name}\" command takes at most {} arguments", shape.max));
    }
    values
        .into_iter()
        .map(|value| match value {
            Value::String(text) => Ok(text),
            _ => Err(format!("\"{name}\" command has non-string argument")),
        })
        .collect()
}

/// Takes the text out of a JSON-RPC 2.0 response.
fn read_answer(response: &MethodResponse) -> Answer {
    let value: Value = serde_json::from_str(response.as_json().get()).map_err(|e| e.to_string())?;
    match value {
        Value::Object(mut members) => match (members.remove("result"), members.remove("error")) {
            (Some(Value::String(text)), _) => Ok(text),
            (_, Some(error)) => Err(error["message"].as_str().unwrap_or("internal error").to_owned()),
            _ => Err("internal error".to_owned()),
        },
        _ => Err("internal error".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn calls_and_refusals() {
        let mut commands = Commands::new("prog (Open vSwitch) 3.1.0");
        commands.add("echo", "WORD...", 1, 2, |args| Ok(args.join("+")));
        commands.add_later("later", "", 0, 0, |_| async { Err("no".to_owned()) });
        let call = |name: &str, params: Value| {
            let params = params.as_array().cloned().unwrap_or_default();
            futures::executor::block_on(commands.call(name, &params))
        };
        let no = |text: &str| Err(text.to_owned());
        assert_eq!(call("echo", json!(["a", "b"])), Ok("a+b".into()));
        assert_eq!(call("version", json!([])), Ok("prog (Open vSwitch) 3.1.0".into()));
        assert_eq!(call("later", json!([])), no("no"));
        assert_eq!(call("echo", json!([])), no("\"echo\" command requires at least 1 arguments"));
        assert_eq!(call("echo", json!(["a", "b", "c"])), no("\"echo\" command takes at most 2 arguments"));
        assert_eq!(call("echo", json!([1])), no("\"echo\" command has non-string argument"));
        let unknown = "\"x\" is not a valid command (use \"list-commands\" to see a list of valid commands)";
        assert_eq!(call("x", json!([])), no(unknown));
        let list = "The available commands are:\n  echo                    WORD...\n  later                   \n\
                    \u{20} list-commands           \n  version                 \n";
        assert_eq!(call("list-commands", json!([])), Ok(list.into()));
        commands.gate(|name| name != "later");
        commands.hide("echo");
        let call = |name: &str| futures::executor::block_on(commands.call(name, &[]));
        assert_eq!(call("echo"), no("\"echo\" command requires at least 1 arguments"));
        assert_eq!(call("later"), no(&unknown.replace("\"x\"", "\"later\"")));
        let list = list.replace("  later                   \n", "").replace("  echo                    WORD...\n", "");
        assert_eq!(call("list-commands"), Ok(list));
    }
}
