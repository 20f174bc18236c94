//! `ofproto/detrace`: from cached flows back to the OpenFlow rules and groups that made them. Open vSwitch has no such
//! command; its `ovs-detrace` explains traces of rules that are looked up anew.

use flow::{Ufid, odp_text};

use super::context::{Names, PATIENCE, Registry, Says, optional_datapath, reason};
use super::dpctl::{Given, options};
use super::flows::{Shown, collect};
use crate::msg::bridge::Origins;
use crate::switch::directory::Directory;

/// Flows that one bridge is asked about at once.
const ASKED_AT_ONCE: usize = 256;

/// Registers it.
pub(super) fn add(registry: &mut Registry<'_>) {
    let usage = "[-m] [--names] [dp] [ufid | flow]";
    registry.ask("ofproto/detrace", usage, (0, 4), |directory, args| async move {
        let mut says = Says::default();
        let (given, args) = options(&args)?;
        let result = match args {
            // A flow's text has parentheses, a datapath's name has none.
            [flow] if is_flow(flow) => detrace(&directory, &[], Some(flow), given, &mut says).await,
            [dp, flow] => detrace(&directory, std::slice::from_ref(dp), Some(flow), given, &mut says).await,
            args => detrace(&directory, args, None, given, &mut says).await,
        };
        says.answer(result)
    });
}

fn is_flow(text: &str) -> bool {
    text.contains('(') || ufid_of(text).is_some()
}

/// The name that a flow's text begins with or consists of.
fn ufid_of(text: &str) -> Option<Ufid> {
    let text = text.trim_start();
    let text = text.strip_prefix("ufid:").unwrap_or(text);
    odp_text::parse_ufid(text.split([',', ' ']).next()?)
}

/// The part of a dumped flow that says what it matches.
fn key_part(text: &str) -> &str {
    let text = text.trim_start();
    [", packets:", ",packets:", ", actions:", " actions:"].iter().fold(text, |t, end| t.split(end).next().unwrap_or(t))
}

async fn detrace(
    directory: &Directory,
    datapath: &[String],
    wanted: Option<&String>,
    given: Given,
    says: &mut Says,
) -> Result<(), ()> {
    let ((_, entry), _) = optional_datapath(directory, datapath, 1, says)?;
    let names = Names(&entry.ports);
    let mut flows = match collect(directory, entry).await {
        Ok(flows) => flows,
        Err(why) => return says.fail(&why, None),
    };
    if let Some(text) = wanted {
        if let Some(ufid) = ufid_of(text) {
            flows.retain(|f| f.flow.entry.ufid == ufid);
        } else {
            match odp_text::parse_key(key_part(text), Some(&names)) {
                Ok((key, mask)) => flows.retain(|f| is_same(f, &key, &mask)),
                Err(error) => return says.fail(&format!("parsing flow key ({error})"), Some(reason::INVALID)),
            }
        }
        if flows.is_empty() {
            return says.fail("no such flow is cached", Some(reason::NO_FLOW));
        }
    }
    let origins = origins(directory, &flows).await;
    for (shown, origins) in flows.iter().zip(origins) {
        shown.line(&mut says.0, entry, given);
        match origins {
            Some(lines) => lines.iter().for_each(|line| says.0.push_str(&format!("  {line}\n"))),
            None => says.0.push_str("  no bridge made it\n"),
        }
    }
    Ok(())
}

/// Whether a text means that flow: what it says is what the flow matches. A flow is shown without the bits that it does not
/// look at, unless it is shown in full.
fn is_same(shown: &Shown, key: &flow::Key, mask: &flow::Mask) -> bool {
    let (own, own_mask) = (shown.flow.entry.key(), shown.flow.entry.mask());
    let options = odp_text::KeyOptions::default();
    let text = |key: &flow::Key, mask| odp_text::format_key(&key.masked(mask), Some(mask), &options);
    own_mask == *mask && own == key.masked(mask) || text(&own, &own_mask) == text(key, mask)
}

/// What made each of the flows, in their order.
pub(super) async fn origins(directory: &Directory, flows: &[Shown]) -> Vec<Option<Vec<String>>> {
    let mut all = vec![None; flows.len()];
    for bridge in directory.bridges.values() {
        let own = flows.iter().enumerate().filter(|(_, f)| ofproto::bridge::owner(f.flow.entry.ufid) == bridge.id);
        let places: Vec<usize> = own.map(|(i, _)| i).collect();
        for places in places.chunks(ASKED_AT_ONCE) {
            let names = places.iter().map(|i| flows[*i].flow.entry.ufid).collect();
            // Of a bridge that is gone by now nothing is known.
            let told = bridge.address.ask(Origins(names), PATIENCE).await.unwrap_or_default();
            for (i, origins) in places.iter().zip(told) {
                all[*i] = origins;
            }
        }
    }
    all
}
