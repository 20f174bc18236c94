//! The text format in which Prometheus reads metrics (version 0.0.4): families of samples, each with its help and type.

use std::fmt::{Display, Write};

/// The media type of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a family's numbers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// They only grow, and begin at zero anew when the program does.
    Counter,
    /// They go up and down.
    Gauge,
}

/// Metrics being written down.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
    family: &'static str,
}

impl Exposition {
    /// Begins a family; its samples follow. A counter's name ends in `_total`.
    pub fn family(&mut self, name: &'static str, kind: Kind, help: &str) {
        debug_assert_eq!(kind == Kind::Counter, name.ends_with("_total"), "{name}");
        self.family = name;
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// Adds a sample of the family begun last.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.text.push_str(self.family);
        for (i, (name, value)) in labels.iter().enumerate() {
            self.text.push(if i == 0 { '{' } else { ',' });
            let _ = write!(self.text, "{name}=\"");
            for c in value.chars() {
                match c {
                    '\\' => self.text.push_str("\\\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str("\\n"),
                    c => self.text.push(c),
                }
            }
            self.text.push('"');
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }

    /// The whole text.
    pub fn finish(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_and_samples() {
        let mut out = Exposition::default();
        out.family("x_packets_total", Kind::Counter, "Packets.");
        out.sample(&[("port", "a\"b\\c"), ("way", "in")], 3u64);
        out.family("x_flows", Kind::Gauge, "Flows.");
        out.sample(&[], 1.5);
        assert_eq!(
            out.finish(),
            "# HELP x_packets_total Packets.\n# TYPE x_packets_total counter\n\
             x_packets_total{port=\"a\\\"b\\\\c\",way=\"in\"} 3\n\
             # HELP x_flows Flows.\n# TYPE x_flows gauge\nx_flows 1.5\n"
        );
    }
}
