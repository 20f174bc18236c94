//! Meters from text: `meter=1,kbps,burst,stats,bands=type=drop,rate=100,burst_size=50`.

use crate::Protocols;
use crate::message::meter::{
    BandType, METER_ALL, METER_CONTROLLER, METER_MAX, METER_SLOWPATH, MeterBand, MeterCommand, MeterConfig, MeterMod,
    meter_flag,
};
use crate::words::{u8_of, u32_of};

fn meter_id(value: &str) -> Result<u32, String> {
    match value {
        "all" => return Ok(METER_ALL),
        "controller" => return Ok(METER_CONTROLLER),
        "slowpath" => return Ok(METER_SLOWPATH),
        _ => {}
    }
    let id = u32_of(value)?;
    if id > METER_MAX || id == 0 { Err(format!("invalid value for {value}")) } else { Ok(id) }
}

/// Names, which end where any of `=`, `,`, blanks stands, and their values, which may have a `=` in them.
struct Tokens<'a>(&'a str);

impl<'a> Tokens<'a> {
    fn name(&mut self) -> Option<&'a str> {
        self.word(|c| c == '=' || is_separator(c))
    }

    fn value(&mut self) -> Option<&'a str> {
        self.word(is_separator)
    }

    /// A word, and the one character behind it.
    fn word(&mut self, ends: impl Fn(char) -> bool) -> Option<&'a str> {
        let text = self.0.trim_start_matches(&ends);
        if text.is_empty() {
            return None;
        }
        let end = text.find(&ends).unwrap_or(text.len());
        self.0 = text.get(end + 1..).unwrap_or("");
        Some(&text[..end])
    }
}

fn is_separator(c: char) -> bool {
    matches!(c, ',' | ' ' | '\t' | '\r' | '\n')
}

/// Reads a meter-mod, or without a command what names a meter in a request. Returns the protocols that can say it.
///
/// # Errors
/// A text for a user.
pub fn parse_meter_mod(text: &str, command: Option<MeterCommand>) -> Result<(MeterMod, Protocols), String> {
    let with_bands = matches!(command, Some(MeterCommand::Add | MeterCommand::Modify));
    let (head, bands) = if with_bands {
        let at = find_band(text).ok_or("must specify bands")?;
        let value = text[at..].split_once('=').map(|(_, v)| v).ok_or("must specify bands")?;
        (text[..at].trim_end_matches([',', ' ', '\t', '\r', '\n']), value)
    } else {
        (text, "")
    };
    let mut meter = MeterConfig { meter_id: 0, flags: 0, bands: Vec::new() };
    let mut have_rate = false;
    let mut tokens = Tokens(head);
    while let Some(name) = tokens.name() {
        match name {
            "kbps" if with_bands => {
                meter.flags |= meter_flag::KBPS;
                have_rate = true;
            }
            "pktps" if with_bands => {
                meter.flags |= meter_flag::PKTPS;
                have_rate = true;
            }
            "burst" if with_bands => meter.flags |= meter_flag::BURST,
            "stats" if with_bands => meter.flags |= meter_flag::STATS,
            _ => {
                let value = tokens.value().ok_or_else(|| format!("field {name} missing value"))?;
                if name != "meter" {
                    return Err(format!("unknown keyword {name}"));
                }
                meter.meter_id = meter_id(value).map_err(|e| match e.strip_prefix("invalid value for ") {
                    Some(_) => format!("invalid value for {name}"),
                    None => e,
                })?;
            }
        }
    }
    if with_bands && meter.meter_id == 0 {
        return Err("must specify 'meter'".to_string());
    }
    if with_bands && !have_rate {
        return Err("meter must specify either 'kbps' or 'pktps'".to_string());
    }
    if with_bands {
        meter.bands = parse_bands(bands, meter.flags)?;
    }
    Ok((MeterMod { command: command.unwrap_or(MeterCommand::Delete), meter }, Protocols::OF13_UP))
}

/// Where `band=` or `bands=` stands.
fn find_band(text: &str) -> Option<usize> {
    text.find("band")
}

fn parse_bands(text: &str, flags: u16) -> Result<Vec<MeterBand>, String> {
    let mut bands: Vec<MeterBand> = Vec::new();
    let mut tokens = Tokens(text);
    while let Some(name) = tokens.name() {
        let value = tokens.value().ok_or_else(|| format!("field {name} missing value"))?;
        if name == "type" {
            let kind = match value {
                "drop" => BandType::Drop,
                "dscp_remark" => BandType::DscpRemark,
                other => return Err(format!("field {name} unknown value {other}")),
            };
            bands.push(MeterBand { kind, prec_level: 0, rate: 0, burst_size: 0 });
            continue;
        }
        let Some(band) = bands.last_mut() else {
            return Err("band must start with the 'type' keyword".to_string());
        };
        match name {
            "rate" => band.rate = u32_of(value)?,
            "burst_size" => band.burst_size = u32_of(value)?,
            "prec_level" => band.prec_level = u8_of(value, name)?,
            _ => return Err(format!("unknown keyword {name}")),
        }
    }
    if bands.is_empty() {
        return Err("meter must have bands".to_string());
    }
    bands.iter().try_for_each(|band| check_band(band, flags))?;
    Ok(bands)
}

/// Zero is as good as left out.
fn check_band(band: &MeterBand, flags: u16) -> Result<(), String> {
    let wants_burst = flags & meter_flag::BURST != 0;
    let wrong = if band.kind == BandType::DscpRemark && band.prec_level == 0 {
        "'dscp_remark' band must have 'prec_level'"
    } else if band.kind == BandType::Drop && band.prec_level != 0 {
        "Only 'dscp_remark' band may have 'prec_level'"
    } else if band.rate == 0 {
        "band must have 'rate'"
    } else if wants_burst && band.burst_size == 0 {
        "band must have 'burst_size' when 'burst' flag is set"
    } else if !wants_burst && band.burst_size != 0 {
        "band may have 'burst_size' only when 'burst' flag is set"
    } else {
        return Ok(());
    };
    Err(wrong.to_string())
}
