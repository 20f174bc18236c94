//! `dpctl/*` that change datapaths and their ports: `add-dp`, `del-dp`, `add-if`, `set-if`, `del-if`.
//!
//! Ports of datapaths that bridges use are the bridges': one that no bridge wants would go at once, and one that a bridge
//! has is changed through the database. Source: ovs-dpctl(8), and what Open vSwitch 3.1 prints.

use super::context::{Found, PATIENCE, Registry, Says, datapath_named, reason};
use crate::mailbox::Address;
use crate::msg::port::Open;
use crate::msg::switch::{DatapathEdit, EditRefused};
use crate::port::Port;
use crate::switch::desired::{DesiredInterface, Pairs};
use crate::switch::directory::{DatapathEntry, Directory};

const MANY: usize = usize::MAX;

/// Registers them.
pub(super) fn add(registry: &mut Registry<'_>) {
    registry.plain("dpctl/add-dp", "dp [iface...]", (1, MANY), |directory, args| async move {
        let mut says = Says::default();
        let mut result = add_datapath(&directory, &args[0], &mut says).await;
        if result.is_ok() {
            result = add_ports(&directory, &args[0], &args[1..], &mut says).await;
        }
        says.answer(result)
    });
    registry.plain("dpctl/del-dp", "dp", (1, 1), |directory, args| async move {
        let mut says = Says::default();
        let result = match datapath_named(&directory, &args[0]) {
            // One that bridges use stays for as long as they do.
            Some((full, entry)) if entry.revalidator.is_none() => {
                let gone = edit(&directory, DatapathEdit::Unmake(full)).await;
                gone.map(drop).or_else(|why| says.fail("deleting datapath", Some(errno(why))))
            }
            Some(_) => Ok(()),
            None => says.fail("opening datapath", Some(reason::NO_DEVICE)),
        };
        says.answer(result)
    });
    registry.plain("dpctl/add-if", "dp iface...", (2, MANY), |directory, args| async move {
        let mut says = Says::default();
        let result = match datapath_named(&directory, &args[0]) {
            Some(_) => add_ports(&directory, &args[0], &args[1..], &mut says).await,
            None => says.fail("opening datapath", Some(reason::NO_DEVICE)),
        };
        says.answer(result)
    });
    for (name, removes) in [("dpctl/set-if", false), ("dpctl/del-if", true)] {
        registry.plain(name, "dp iface...", (2, MANY), move |directory, args| async move {
            let mut says = Says::default();
            let Some((_, entry)) = datapath_named(&directory, &args[0]) else {
                let result = says.fail("opening datapath", Some(reason::NO_DEVICE));
                return says.answer(result);
            };
            let mut result = Ok(());
            for interface in &args[1..] {
                let done = match removes {
                    true => remove_port(&directory, (&args[0], entry), interface, &mut says).await,
                    false => set_port(&directory, (&args[0], entry), interface, &mut says).await,
                };
                result = result.and(done);
            }
            says.answer(result)
        });
    }
}

/// Has the switch do it.
pub(super) async fn edit(directory: &Directory, edit: DatapathEdit) -> Result<Option<Address<Port>>, EditRefused> {
    let Some(hand) = &directory.hand else { return Err(EditRefused::Missing) };
    hand.ask(edit, PATIENCE).await.unwrap_or(Err(EditRefused::NoRoom))
}

/// The text of errno that says why.
fn errno(refused: EditRefused) -> &'static str {
    match refused {
        EditRefused::Exists | EditRefused::OtherType => reason::EXISTS,
        EditRefused::Missing => reason::NO_DEVICE,
        EditRefused::Busy => "Device or resource busy",
        EditRefused::NoRoom => "No buffer space available",
        EditRefused::UnknownType => UNKNOWN_TYPE,
    }
}

const UNKNOWN_TYPE: &str = "Address family not supported by protocol";

async fn add_datapath(directory: &Directory, name: &str, says: &mut Says) -> Result<(), ()> {
    let (kind, own) = name.split_once('@').unwrap_or(("system", name));
    let why = match datapath_named(directory, name) {
        Some(_) => Some(reason::EXISTS),
        None if !matches!(kind, "system" | "netdev" | "dummy") => Some(UNKNOWN_TYPE),
        None => {
            let make = DatapathEdit::Make { kind: kind.to_owned(), name: own.to_owned() };
            edit(directory, make).await.err().map(errno)
        }
    };
    match why {
        Some(why) => says.fail("add_dp", Some(why)),
        None => Ok(()),
    }
}

/// What an argument `NAME[,OPTION=VALUE]...` says of a port.
struct Described {
    name: String,
    kind: Option<String>,
    number: Option<u32>,
    options: Pairs,
}

impl Described {
    /// Empty parts count for nothing; a number that is none is 0, as for atoi(3).
    fn read(text: &str) -> Self {
        let mut parts = text.split(',').filter(|part| !part.is_empty());
        let name = parts.next().unwrap_or_default().to_owned();
        let mut described = Self { name, kind: None, number: None, options: Pairs::new() };
        for part in parts {
            match part.split_once('=').unwrap_or((part, "")) {
                ("type", kind) => described.kind = Some(kind.to_owned()),
                ("port_no", number) => described.number = Some(number.parse().unwrap_or(0)),
                (key, value) => {
                    described.options.insert(key.to_owned(), value.to_owned());
                }
            }
        }
        described
    }
}

async fn add_ports(directory: &Directory, datapath: &str, ports: &[String], says: &mut Says) -> Result<(), ()> {
    let full = full_name(datapath);
    let used = datapath_named(directory, datapath).filter(|(_, entry)| entry.revalidator.is_some());
    let mut result = Ok(());
    for text in ports {
        let Described { name, kind, number, options } = Described::read(text);
        let kind = kind.filter(|kind| !kind.is_empty()).unwrap_or_else(|| "system".to_owned());
        let opening = format!("{name}: failed to open network device");
        let interface = Box::new(DesiredInterface { name: name.clone(), kind, options, ..DesiredInterface::default() });
        let asked = edit(directory, DatapathEdit::AddPort { datapath: full.clone(), interface, number }).await;
        let port = match asked {
            Ok(port) => port,
            Err(why @ (EditRefused::UnknownType | EditRefused::OtherType)) => {
                result = says.fail(&opening, Some(errno(why)));
                continue;
            }
            Err(why) => {
                let is_present = |(_, entry): &Found<'_>| entry.ports.values().any(|n| *n == name);
                let why = match &used {
                    Some(found) if is_present(found) => EditRefused::Exists,
                    // The bridges would not keep it.
                    Some(_) => continue,
                    None => why,
                };
                result = says.fail(&format!("adding {name} to {datapath} failed"), Some(errno(why)));
                continue;
            }
        };
        let Some(port) = port else { continue };
        if !matches!(port.ask(Open, PATIENCE).await, Ok(Ok(_))) {
            // It cannot be had: nothing of it stays.
            let _ = edit(directory, DatapathEdit::RemovePort { datapath: full.clone(), name }).await;
            result = says.fail(&opening, Some(reason::NO_DEVICE));
        }
    }
    result
}

async fn set_port(
    directory: &Directory,
    (datapath, entry): (&str, &DatapathEntry),
    text: &str,
    says: &mut Says,
) -> Result<(), ()> {
    let Described { name, kind, number, options } = Described::read(text);
    let is_own = own_port_of(datapath) == name;
    let known = entry.ports.iter().find(|(_, n)| **n == name).map(|(number, _)| *number).or(is_own.then_some(0));
    let Some(known) = known else {
        return says.fail(&format!("{name}: failed to query port in {datapath}"), Some(reason::NO_DEVICE));
    };
    let port = entry.own.get(&name).or_else(|| directory.ports.get(&name));
    let now = port.map_or("dummy-internal", |port| port.kind.as_str());
    if let Some(kind) = kind.filter(|kind| kind != now) {
        return says.fail(&format!("{name}: can't change type from {now} to {kind}"), None);
    }
    if let Some(number) = number.filter(|number| *number != known) {
        return says.fail(&format!("{name}: can't change port number from {known} to {number}"), None);
    }
    if options.is_empty() || is_own {
        return Ok(());
    }
    let failed = format!("{name}: failed to configure network device");
    if !entry.own.contains_key(&name) {
        return says.fail(&failed, Some(reason::UNSUPPORTED));
    }
    let full = full_name(datapath);
    let set = edit(directory, DatapathEdit::SetPort { datapath: full, name, options }).await;
    set.map(drop).or_else(|why| says.fail(&failed, Some(errno(why))))
}

/// A datapath's name with its type.
fn full_name(datapath: &str) -> String {
    if datapath.contains('@') { datapath.to_owned() } else { format!("system@{datapath}") }
}

/// The name of the port that a datapath has of its own.
fn own_port_of(datapath: &str) -> &str {
    datapath.split_once('@').map_or(datapath, |(_, name)| name)
}

async fn remove_port(
    directory: &Directory,
    (datapath, entry): (&str, &DatapathEntry),
    name: &str,
    says: &mut Says,
) -> Result<(), ()> {
    let failed = format!("deleting port {name} from {datapath} failed");
    let found = match name.parse::<u32>() {
        Ok(0) => return says.fail(&failed, Some(reason::INVALID)),
        Ok(number) => entry.ports.get(&number),
        Err(_) if name == own_port_of(datapath) => return says.fail(&failed, Some(reason::INVALID)),
        Err(_) => match entry.ports.values().find(|n| *n == name) {
            Some(found) => Some(found),
            None => return says.fail(&format!("no port named {name}"), None),
        },
    };
    let Some(found) = found else { return says.fail(&failed, Some(reason::NO_DEVICE)) };
    let full = full_name(datapath);
    let gone = edit(directory, DatapathEdit::RemovePort { datapath: full, name: found.clone() }).await;
    gone.map(drop).or_else(|why| says.fail(&failed, Some(errno(why))))
}
