//! `dpif-netdev/*-impl-*`, `miniflow-parser-*`, `subtable-lookup-*`, `odp-execute/*`: ways of doing something that can be
//! chosen elsewhere. Here there is one of each; what is chosen is kept, and shown.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::context::Registry;
use crate::switch::directory::Directory;

/// Ways of looking up in subtables, and their priorities.
static LOOKUPS: [&str; 2] = ["autovalidator", "generic"];
static LOOKUP_PRIORITIES: Mutex<[u8; 2]> = Mutex::new([0, 1]);

/// Ways of reading keys from packets.
static PARSERS: [&str; 3] = ["autovalidator", "scalar", "study"];
static CHOSEN_PARSERS: Mutex<Parsers> = Mutex::new(Parsers { all: "scalar", some: BTreeMap::new() });

/// Ways of carrying out actions, and the number of the one that is chosen.
static ACTIONS: [&str; 2] = ["scalar", "autovalidator"];
static CHOSEN_ACTIONS: AtomicUsize = AtomicUsize::new(0);

/// Packets that are studied unless told.
const STUDIED: u32 = 128;

/// Who reads keys how.
struct Parsers {
    all: &'static str,
    /// Threads that were told apart, by processor.
    some: BTreeMap<u32, &'static str>,
}

/// Processors of the threads that poll ports.
fn cores(directory: &Directory) -> Vec<u32> {
    directory.datapaths.values().flat_map(|d| &d.assignment.threads).map(|t| t.core.core).collect()
}

fn listed(cores: impl Iterator<Item = u32>) -> String {
    let texts: Vec<String> = cores.map(|core| core.to_string()).collect();
    if texts.is_empty() { "none".to_owned() } else { texts.join(",") }
}

/// The way of looking up that is used: that of the greatest priority.
fn used_lookup(priorities: &[u8; 2]) -> usize {
    usize::from(priorities[1] >= priorities[0])
}

/// The ways of looking up, one of them in use in so many subtables.
fn lookups(subtables: usize) -> String {
    let priorities = *LOOKUP_PRIORITIES.lock().unwrap_or_else(PoisonError::into_inner);
    let used = used_lookup(&priorities);
    let mut out = String::from("Available dpcls implementations:\n");
    for (at, (name, priority)) in LOOKUPS.iter().zip(priorities).enumerate() {
        let count = if at == used { subtables } else { 0 };
        let _ = writeln!(out, "  {name} (Use count: {count}, Priority: {priority})");
    }
    out
}

fn parsers(directory: &Directory) -> String {
    let cores = cores(directory);
    let chosen = CHOSEN_PARSERS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut out = String::from("Available MFEX implementations:\n");
    for name in PARSERS {
        let users = cores.iter().copied().filter(|core| *chosen.some.get(core).unwrap_or(&chosen.all) == name);
        let _ = writeln!(out, "  {name} (available: True pmds: {})", listed(users));
    }
    out
}

/// `[-pmd CORE] NAME [COUNT]`, where the threads are those of `cores`. Of several counts the last holds.
fn choose_parser(args: &[String], cores: &[u32]) -> Result<String, String> {
    let (thread, args) = match args {
        [option, core, rest @ ..] if option == "-pmd" => {
            let number: u32 = core.parse().map_err(|_| {
                format!(
                    "Error: miniflow extract parser not changed, PMD thread passed is not valid: '{core}'. Pass a valid pmd \
                     thread ID.\n"
                )
            })?;
            (Some(number), rest)
        }
        [option] if option == "-pmd" => return Err("Error: -pmd option requires a thread id argument.\n".into()),
        _ => (None, args),
    };
    let Some((name, more)) = args.split_first() else {
        let shown = "Output of miniflow-parser-get shows implementation list.";
        return Err(format!("Error: no miniflow extract name provided. {shown}\n"));
    };
    // What is too much is told before what is not known.
    let mut studied = STUDIED;
    for count in more {
        if name != "study" {
            return Err(format!("Error: unknown argument {count}.\n"));
        }
        let fit = count.parse::<u32>().ok().filter(|n| *n > 0);
        studied = fit.ok_or_else(|| format!("Error: invalid study_pkt_cnt value: {count}.\n"))?;
    }
    let known = PARSERS.iter().find(|known| *known == name);
    let name = known.ok_or_else(|| format!("Error: unknown miniflow extract implementation {name}.\n"))?;
    // The number is shown with a sign, as Open vSwitch has it.
    let study = if *name == "study" { format!(", studying {} packets", studied.cast_signed()) } else { String::new() };
    let mut chosen = CHOSEN_PARSERS.lock().unwrap_or_else(PoisonError::into_inner);
    let place = match thread {
        Some(core) if !cores.contains(&core) => {
            return Err(format!(
                "Error: miniflow extract parser not changed, PMD thread {core} not in use, pass a valid pmd thread ID.\n"
            ));
        }
        Some(core) => {
            chosen.some.insert(core, name);
            format!(", on pmd thread {core}")
        }
        None => {
            *chosen = Parsers { all: name, some: BTreeMap::new() };
            String::new()
        }
    };
    Ok(format!("Miniflow extract implementation set to {name}{place}{study}.\n"))
}

/// Sets a priority. `there` are the ports and subtables that are looked up in.
fn set_priority(name: &str, priority: &str, there: (usize, usize)) -> Result<String, String> {
    const RANGE: &str = "error converting priority, use integer in range 0-255\n";
    // What is no number is 0.
    let digits = priority.trim_start().strip_prefix('-').unwrap_or(priority.trim_start());
    let number = digits.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    let is_negative = priority.trim_start().starts_with('-') && number.bytes().any(|b| b != b'0');
    let priority = if number.is_empty() { Ok(0) } else { number.parse() };
    let priority = priority.ok().filter(|_| !is_negative).ok_or(RANGE)?;
    let Some(i) = LOOKUPS.iter().position(|n| *n == name) else {
        vlog::warn!("dpif_netdev_lookup", "Subtable function '{name}' not found, failed to set priority");
        return Err("error, subtable lookup function not found".to_owned());
    };
    let mut priorities = LOOKUP_PRIORITIES.lock().unwrap_or_else(PoisonError::into_inner);
    let before = used_lookup(&priorities);
    priorities[i] = priority;
    let (ports, subtables) = if used_lookup(&priorities) == before { (0, 0) } else { there };
    vlog::info!("dpif_netdev_lookup", "Subtable function '{name}' set priority to {priority}");
    let said = format!("Lookup priority change affected {ports} dpcls ports and {subtables} subtables.");
    vlog::info!("dpif_netdev", "{said}");
    Ok(said + "\n")
}

fn actions() -> String {
    let chosen = CHOSEN_ACTIONS.load(Ordering::Relaxed);
    let mut out = String::from("Available Actions implementations:\n");
    for (at, name) in ACTIONS.iter().enumerate() {
        let _ = writeln!(out, "  {name} (available: Yes, active: {})", if at == chosen { "Yes" } else { "No" });
    }
    out
}

/// The log hears of what changes.
fn choose_actions(name: &str) -> Result<String, String> {
    let Some(at) = ACTIONS.iter().position(|known| *known == name) else {
        vlog::err!("odp_execute", "Failed setting action implementation to {name}");
        return Err(format!("Error: unknown action implementation, {name}, specified!\n"));
    };
    if CHOSEN_ACTIONS.swap(at, Ordering::Relaxed) != at {
        vlog::info!("odp_execute_impl", "Action implementation set to {name}");
    }
    Ok(format!("Action implementation set to {name}.\n"))
}

/// Tells the log what a command answers.
fn logged(answer: Result<String, String>) -> Result<String, String> {
    match &answer {
        Ok(said) => vlog::info!("dpif_netdev", "{}", said.trim_end()),
        Err(why) => vlog::err!("dpif_netdev", "{}", why.trim_end()),
    }
    answer
}

/// Registers them.
pub(super) fn add(registry: &mut Registry<'_>) {
    registry.ask("dpif-netdev/dpif-impl-get", "", (0, 0), |directory, _| async move {
        let users = listed(cores(&directory).into_iter());
        Ok(format!("Available DPIF implementations:\n  dpif_scalar (pmds: {users})\n"))
    });
    registry.say("dpif-netdev/dpif-impl-set", "dpif_implementation_name", (1, 1), |args| {
        logged(match args[0].as_str() {
            "dpif_scalar" => Ok("DPIF implementation set to dpif_scalar.\n".to_owned()),
            name => Err(format!("DPIF implementation not available: Unknown DPIF implementation {name}.\n")),
        })
    });
    registry.ask("dpif-netdev/miniflow-parser-get", "", (0, 0), |directory, _| async move { Ok(parsers(&directory)) });
    let usage = "[-pmd core] miniflow_implementation_name [study_pkt_cnt]";
    registry.ask("dpif-netdev/miniflow-parser-set", usage, (1, 5), |directory, args| async move {
        logged(choose_parser(&args, &cores(&directory)))
    });
    for name in ["dpif-netdev/subtable-lookup-info-get", "dpif-netdev/subtable-lookup-prio-get"] {
        registry.ask(name, "", (0, 0), |directory, _| async move {
            Ok(lookups(super::flows::subtables(&directory).await?.1))
        });
    }
    registry.commands.hide("dpif-netdev/subtable-lookup-prio-get");
    registry.ask(
        "dpif-netdev/subtable-lookup-prio-set",
        "[lookup_func] [prio]",
        (2, 2),
        |directory, args| async move { set_priority(&args[0], &args[1], super::flows::subtables(&directory).await?) },
    );
    registry.say("odp-execute/action-impl-show", "", (0, 0), |_| Ok(actions()));
    registry.say("odp-execute/action-impl-set", "name", (1, 1), |args| choose_actions(&args[0]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parsers_are_chosen_for_threads_that_are_there() {
        let choose = |text: &str| {
            choose_parser(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>(), &[0, 3]).map_err(|e| {
                e.split(": ").nth(1).map(|e| e.split(',').next().unwrap_or(e).trim().to_owned()).unwrap_or_default()
            })
        };
        for (args, expected) in [
            ("study", Ok("Miniflow extract implementation set to study, studying 128 packets.\n")),
            ("study 7", Ok("Miniflow extract implementation set to study, studying 7 packets.\n")),
            ("-pmd 3 scalar", Ok("Miniflow extract implementation set to scalar, on pmd thread 3.\n")),
            ("-pmd 1 scalar", Err("miniflow extract parser not changed")),
            ("-pmd y scalar", Err("miniflow extract parser not changed")),
            ("study 0x", Err("invalid study_pkt_cnt value")),
            ("study 3 4", Ok("Miniflow extract implementation set to study, studying 4 packets.\n")),
            ("study 3 x", Err("invalid study_pkt_cnt value")),
            ("study 4294967295", Ok("Miniflow extract implementation set to study, studying -1 packets.\n")),
            ("-pmd", Err("-pmd option requires a thread id argument.")),
            (
                "-pmd 1",
                Err("no miniflow extract name provided. Output of miniflow-parser-get shows implementation list."),
            ),
            ("scalar 7", Err("unknown argument 7.")),
            ("tudy abcd", Err("unknown argument abcd.")),
            ("avx", Err("unknown miniflow extract implementation avx.")),
        ] {
            assert_eq!(choose(args), expected.map(str::to_owned).map_err(str::to_owned), "{args}");
        }
    }

    #[test]
    fn priorities_are_octets() {
        for bad in ["-2", "256", "99999999999"] {
            assert!(set_priority("generic", bad, (1, 2)).is_err_and(|e| e.contains("0-255")), "{bad}");
        }
        assert!(set_priority("other", "4", (1, 2)).is_err());
        for good in ["x", "-0", "1y", ""] {
            assert!(set_priority("generic", good, (1, 2)).is_ok(), "{good}");
        }
    }
}
