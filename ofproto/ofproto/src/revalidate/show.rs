//! Text of `upcall/show`.

use super::FlowLimit;

/// The part of one datapath: flows in the datapath, whether it names flows, and how many each revalidator keeps.
pub fn upcall_show(datapath: &str, flows: usize, limit: &FlowLimit, ufid: bool, keys: &[(u32, usize)]) -> String {
    let mut out = format!(
        "{datapath}:\n  flows         : (current {flows}) (avg {}) (max {}) (limit {})\n  dump duration : {}ms\n",
        limit.average,
        limit.peak,
        limit.limit(),
        limit.sweep_ms
    );
    out.push_str(if ufid { "  ufid enabled : true\n\n" } else { "  ufid enabled : false\n\n" });
    for (thread, n) in keys {
        out.push_str(&format!("  {thread}: (keys {n})\n"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_open_vswitch_prints_it() {
        let text = upcall_show("dummy@ovs-dummy", 0, &FlowLimit::default(), true, &[(1, 0)]);
        let expected = "dummy@ovs-dummy:\n  flows         : (current 0) (avg 0) (max 0) (limit 10000)\n  dump duration : \
                        1ms\n  ufid enabled : true\n\n  1: (keys 0)\n";
        assert_eq!(text, expected);
    }
}
