//! What `port/capture` is asked for.

use flow::capture_filter::Filter;

/// Octets of a packet that are kept unless told otherwise.
const SNAPLEN: usize = 262_144;
/// Lines of text at the most in one answer.
const LINES_AT_MOST: u64 = 10_000;
/// How long a capture lasts unless told otherwise, seconds.
const DURATION_S: f64 = 10.0;

/// A capture to be made.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Request {
    pub(super) bridge: String,
    /// None: all.
    pub(super) ports: Vec<String>,
    pub(super) count: Option<u64>,
    pub(super) duration_ms: Option<u64>,
    pub(super) filter: Filter,
    pub(super) filter_text: String,
    pub(super) snaplen: usize,
    pub(super) file: Option<String>,
}

impl Request {
    /// Reads the command's arguments.
    pub(super) fn parse(args: &[String]) -> Result<Request, String> {
        let (mut names, mut count, mut duration_s, mut filter_text) = (Vec::new(), None, None, String::new());
        let (mut snaplen, mut file) = (SNAPLEN, None);
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let (option, attached) = match arg.split_once('=') {
                Some((option, value)) if option.starts_with("--") => (option, Some(value.to_owned())),
                _ => (arg.as_str(), None),
            };
            let mut value =
                || attached.clone().or_else(|| args.next().cloned()).ok_or_else(|| format!("{option} needs a value"));
            match option {
                "-c" | "--count" => count = Some(number(option, &value()?)?),
                "--duration" => duration_s = Some(number::<f64>(option, &value()?)?),
                "-f" | "--filter" => filter_text = value()?,
                "-s" | "--snaplen" => snaplen = number(option, &value()?)?,
                "-w" | "--write" => file = Some(value()?),
                _ if option.starts_with('-') => return Err(format!("{option}: no such option")),
                _ => names.push(arg.clone()),
            }
        }
        if count.is_none() && duration_s.is_none() {
            duration_s = Some(DURATION_S);
        }
        let bridge = if names.is_empty() { return Err("which bridge?".to_owned()) } else { names.remove(0) };
        if duration_s.is_some_and(|s| !(0.0..=1e9).contains(&s)) {
            return Err("--duration: not that long".to_owned());
        }
        Ok(Request {
            bridge,
            ports: names,
            count: if file.is_none() { Some(count.unwrap_or(LINES_AT_MOST).min(LINES_AT_MOST)) } else { count },
            duration_ms: duration_s.map(|s| (s * 1000.0) as u64),
            filter: Filter::parse(&filter_text)?,
            filter_text,
            snaplen: if snaplen == 0 { SNAPLEN } else { snaplen.min(SNAPLEN) },
            file,
        })
    }
}

fn number<T: std::str::FromStr>(option: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{option}: \"{text}\" is no number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Request, String> {
        Request::parse(&line.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn what_is_asked() {
        let request = parse("br0 v1 v2 --count 5 --filter=tcp -w x").unwrap();
        assert_eq!((request.bridge.as_str(), request.ports.len(), request.count), ("br0", 2, Some(5)));
        assert_eq!((request.duration_ms, request.file.as_deref()), (None, Some("x")));
        let request = parse("br0 -s 96").unwrap();
        assert_eq!((request.duration_ms, request.count, request.snaplen), (Some(10_000), Some(LINES_AT_MOST), 96));
        assert_eq!(parse("br0 --duration 1.5").unwrap().duration_ms, Some(1500));
        for (line, error) in [
            ("-c 1", "which bridge?"),
            ("br0 --count", "--count needs a value"),
            ("br0 --count x", "--count: \"x\" is no number"),
            ("br0 --zork", "--zork: no such option"),
            ("br0 --filter=port", "filter: ends too early"),
            ("br0 --duration -1", "--duration: not that long"),
        ] {
            assert_eq!(parse(line).unwrap_err(), error);
        }
    }
}
