//! What control commands share: how they are registered, how they find bridges and datapaths, how they complain.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use flow::text::PortNames;

use crate::clock;
use crate::datapath::control::{Perform, Work};
use crate::msg::bridge::Control;
use crate::switch::directory::{DatapathEntry, Directory, Shared};
use crate::unixctl::{Answer, Commands, too_few};

/// How long a part may take to answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// The registry, and where everyone is.
pub(super) struct Registry<'a> {
    pub(super) commands: &'a mut Commands,
    pub(super) directory: &'a Shared,
}

impl Registry<'_> {
    /// A command that looks up the directory and may ask.
    pub(super) fn ask<F>(
        &mut self,
        name: &'static str,
        usage: &str,
        counts: (usize, usize),
        run: impl Fn(Arc<Directory>, Vec<String>) -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = Answer> + Send + 'static,
    {
        let directory = self.directory.clone();
        self.commands.add_later(name, usage, counts.0, counts.1, move |args| run(directory.load_full(), args));
    }

    /// The same for a command of `dpctl` that no option means anything to: those there are go unheard.
    pub(super) fn plain<F>(
        &mut self,
        name: &'static str,
        usage: &str,
        counts: (usize, usize),
        run: impl Fn(Arc<Directory>, Vec<String>) -> F + Send + Sync + Clone + 'static,
    ) where
        F: Future<Output = Answer> + Send + 'static,
    {
        self.ask(name, usage, counts, move |directory, args| {
            let run = run.clone();
            async move {
                let (_, args) = super::dpctl::options(&args)?;
                if args.len() < counts.0 {
                    return Err(too_few(name, counts.0));
                }
                run(directory, args.to_vec()).await
            }
        });
    }

    /// A command that answers at once.
    pub(super) fn say(
        &mut self,
        name: &'static str,
        usage: &str,
        counts: (usize, usize),
        run: impl Fn(&[String]) -> Answer + Send + Sync + 'static,
    ) {
        self.commands.add(name, usage, counts.0, counts.1, run);
    }

    /// A command for the bridge that its first argument names.
    pub(super) fn bridge(&mut self, name: &'static str, usage: &str, counts: (usize, usize), unknown: &'static str) {
        self.ask(name, usage, counts, move |directory, args| async move {
            let [bridge, rest @ ..] = args.as_slice() else { return Err(unknown.to_owned()) };
            control(&directory, bridge, name, rest.to_vec(), unknown).await
        });
    }

    /// A command for one bridge, or for all of them when none is named, which then cannot fail.
    pub(super) fn bridges(&mut self, name: &'static str, unknown: &'static str, otherwise: &'static str) {
        self.ask(name, "[bridge]", (0, 1), move |directory, args| async move {
            if let Some(bridge) = args.first() {
                return control(&directory, bridge, name, Vec::new(), unknown).await;
            }
            for bridge in directory.bridges.keys() {
                // A bridge without the feature has nothing to be done.
                let _ = control(&directory, bridge, name, Vec::new(), unknown).await;
            }
            Ok(otherwise.to_owned())
        });
    }
}

/// Asks a bridge to carry out a command.
pub(super) async fn control(
    directory: &Directory,
    bridge: &str,
    name: &'static str,
    args: Vec<String>,
    unknown: &str,
) -> Answer {
    let bridge = directory.bridges.get(bridge).ok_or(unknown)?;
    bridge.address.ask(Control { name, args }, PATIENCE).await.map_err(|e| e.to_string())?
}

/// Lets everything that a command set in motion come to rest, so that the next command sees what it did.
pub(super) async fn settle() {
    clock::rest().await;
}

/// Has a datapath do something.
pub(super) async fn perform(datapath: &DatapathEntry, work: Work) -> Answer {
    datapath.address.ask(Perform(work), PATIENCE).await.map_err(|e| e.to_string())?
}

/// The texts of a `dpctl` command: what it shows, and its complaints in between.
#[derive(Debug, Default)]
pub(super) struct Says(pub(super) String);

impl Says {
    /// A complaint, with the reason that a number of errno has.
    pub(super) fn error(&mut self, text: &str, reason: Option<&str>) {
        let _ = match reason {
            Some(reason) => writeln!(self.0, "ovs-vswitchd: {text} ({reason})"),
            None => writeln!(self.0, "ovs-vswitchd: {text}"),
        };
    }

    /// A complaint that ends the command.
    pub(super) fn fail<T>(&mut self, text: &str, reason: Option<&str>) -> Result<T, ()> {
        self.error(text, reason);
        Err(())
    }

    /// The answer.
    pub(super) fn answer(self, result: Result<(), ()>) -> Answer {
        match result {
            Ok(()) => Ok(self.0),
            Err(()) => Err(self.0),
        }
    }
}

/// Texts of errno.
pub(super) mod reason {
    pub(in super::super) const INVALID: &str = "Invalid argument";
    pub(in super::super) const EXISTS: &str = "File exists";
    pub(in super::super) const NO_FLOW: &str = "No such file or directory";
    pub(in super::super) const NO_DEVICE: &str = "No such device";
    pub(in super::super) const UNSUPPORTED: &str = "Operation not supported";
    pub(in super::super) const NOT_PERMITTED: &str = "Operation not permitted";
}

/// A datapath and what it is called, `TYPE@NAME`.
pub(super) type Found<'a> = (String, &'a DatapathEntry);

/// All datapaths, those that people made included.
pub(super) fn all_datapaths(directory: &Directory) -> BTreeMap<String, &DatapathEntry> {
    let used = directory.datapaths.iter().map(|(kind, entry)| (format!("{kind}@ovs-{kind}"), entry));
    used.chain(directory.made.iter().map(|(name, entry)| (name.clone(), entry))).collect()
}

/// The datapath of a name: `TYPE@NAME`, or the name alone of one of type `system`.
pub(super) fn datapath_named<'a>(directory: &'a Directory, name: &str) -> Option<Found<'a>> {
    let (kind, name) = name.split_once('@').unwrap_or(("system", name));
    let full = format!("{kind}@{name}");
    let entry = match name.strip_prefix("ovs-") == Some(kind) {
        true => directory.datapaths.get(kind),
        false => directory.made.get(&full),
    };
    Some((full, entry?))
}

/// The datapath an optional first argument means; `most` is how many arguments there are with it at the most. The rest
/// of the arguments comes back.
pub(super) fn optional_datapath<'a, 'b>(
    directory: &'a Directory,
    args: &'b [String],
    most: usize,
    says: &mut Says,
) -> Result<(Found<'a>, &'b [String]), ()> {
    if let Some((first, rest)) = args.split_first()
        && let Some(found) = datapath_named(directory, first)
    {
        return Ok((found, rest));
    }
    if args.len() != most {
        let mut all = all_datapaths(directory).into_iter();
        match (all.next(), all.next()) {
            (Some(found), None) => return Ok((found, args)),
            (Some(_), Some(_)) => says.error("multiple datapaths, specify one", None),
            (None, _) => says.error("no datapaths exist", None),
        }
    }
    says.fail("datapath not found", Some(reason::INVALID))
}

/// Names of a datapath's ports.
pub(super) struct Names<'a>(pub(super) &'a std::collections::BTreeMap<flow::OdpPort, String>);

impl PortNames for Names<'_> {
    fn name_of(&self, port: u32) -> Option<&str> {
        self.0.get(&port).map(String::as_str)
    }

    fn port_named(&self, name: &str) -> Option<u32> {
        self.0.iter().find(|(_, n)| *n == name).map(|(number, _)| *number)
    }
}
