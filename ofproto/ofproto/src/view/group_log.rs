//! What the log tells, to who asks for it, of how a select group will choose: the texts of Open vSwitch 3.1.

use openflow::message::group::GroupType;

use super::group::{GroupView, Layout, Selection, layout, least_weight, total_weight};

impl GroupView {
    /// Lines about how it will choose; none if it is not a select group.
    pub(crate) fn construction(&self) -> Vec<String> {
        if self.kind != GroupType::Select {
            return Vec::new();
        }
        let method = self.desc.props.selection_method.as_str();
        let mut lines = vec![format!("Constructing select group {}", self.id)];
        lines.push(match method {
            "" => "No selection method specified. Trying dp_hash.".to_owned(),
            method => format!("Selection method specified: {method}."),
        });
        match &self.selection {
            Selection::Hash { .. } => {
                lines.push(format!("Hash fields: {}", openflow::print::fields_text(&self.desc.props)));
            }
            Selection::Default if !matches!(method, "" | "dp_hash") => {
                lines.push("No hash fields. Falling back to default hash method.".to_owned());
            }
            Selection::DpHash { alg, map, .. } => self.spread(*alg, map, &mut lines),
            Selection::Default => {
                match layout(&self.buckets) {
                    Layout::NoBuckets => lines.push("  Don't apply dp_hash method without buckets.".to_owned()),
                    Layout::NoWeight => lines.push("  Total weight is zero. No active buckets.".to_owned()),
                    Layout::TooMany(wanted) => {
                        lines.push(self.weights());
                        lines.push(format!("  Too many hash values required: {wanted}"));
                    }
                    Layout::Hashes(_) => {}
                }
                lines.push("Falling back to default hash method.".to_owned());
            }
        }
        lines
    }

    fn weights(&self) -> String {
        let (least, total) = (least_weight(&self.buckets).unwrap_or(0), total_weight(&self.buckets));
        format!("  Minimum weight: {least}, total weight: {total}")
    }

    /// How many of the hash values each bucket has, beside its due.
    fn spread(&self, alg: u32, map: &[u16], lines: &mut Vec<String>) {
        lines.push(self.weights());
        lines.push(format!("  Using {} hash values:", map.len()));
        let total = total_weight(&self.buckets) as f64;
        for (i, bucket) in self.buckets.iter().enumerate() {
            let hits = map.iter().filter(|b| usize::from(**b) == i).count();
            let target = f64::from(bucket.weight) / total * map.len() as f64;
            lines.push(format!("  Bucket {}: weight={}, target={target:.2} hits={hits}", bucket.id, bucket.weight));
        }
        let asked = self.desc.props.selection_method_param >> 32;
        if self.desc.props.selection_method == "dp_hash" && asked > 1 {
            lines.push(format!("Invalid dp_hash algorithm {asked}. Defaulting to OVS_HASH_ALG_L4"));
        }
        lines.push(format!("Use dp_hash with {} hash values using algorithm {alg}.", map.len()));
    }
}

#[cfg(test)]
mod tests {
    use openflow::Names;
    use openflow::message::GroupDesc;
    use openflow::message::group::GroupCommand;

    use super::*;

    fn lines(text: &str) -> Vec<String> {
        let text = format!("group_id=7,{text}");
        let parsed = openflow::parse::group::parse_group_mod(&text, Some(GroupCommand::Add), Names::NONE);
        let (wanted, _) = parsed.unwrap();
        let desc = GroupDesc {
            group_id: wanted.group_id,
            kind: wanted.kind,
            buckets: wanted.buckets.clone(),
            props: wanted.props.clone(),
        };
        GroupView::new(&desc).construction()
    }

    #[test]
    fn what_is_told_of_a_group() {
        assert_eq!(lines("type=all,bucket=output:1"), Vec::<String>::new());
        let tried = ["Constructing select group 7", "No selection method specified. Trying dp_hash."];
        let mut uneven = tried.to_vec();
        uneven.extend([
            "  Minimum weight: 3, total weight: 12",
            "  Using 16 hash values:",
            "  Bucket 0: weight=3, target=4.00 hits=4",
            "  Bucket 1: weight=9, target=12.00 hits=12",
            "  Bucket 2: weight=0, target=0.00 hits=0",
            "Use dp_hash with 16 hash values using algorithm 1.",
        ]);
        assert_eq!(lines("type=select,bucket=weight=3,1,bucket=weight=9,2,bucket=weight=0,3"), uneven);
        let mut steep = tried.to_vec();
        steep.extend([
            "  Minimum weight: 1, total weight: 701",
            "  Too many hash values required: 1024",
            "Falling back to default hash method.",
        ]);
        assert_eq!(lines("type=select,bucket=weight=1,1,bucket=weight=700,2"), steep);
        let fields = [
            "Constructing select group 7",
            "Selection method specified: hash.",
            "Hash fields: eth_src,ip_dst=255.255.0.0",
        ];
        let text = "type=select,selection_method=hash,fields(ip_dst=255.255.0.0,eth_src),bucket=1";
        assert_eq!(lines(text), fields);
        assert_eq!(
            lines("type=select")[2..],
            ["  Don't apply dp_hash method without buckets.", "Falling back to default hash method."]
        );
    }
}
