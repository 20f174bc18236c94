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

/// Words separated by any of `=`, `,`, blanks.
struct Tokens<'a>(&'a str);

impl<'a> Iterator for Tokens<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let is_separator = |c: char| matches!(c, '=' | ',' | ' ' | '\t' | '\r' | '\n');
        let text = self.0.trim_start_matches(is_separator);
        if text.is_empty() {
            return None;
        }
        let end = text.find(is_separator).unwrap_or(text.len());
        self.0 = &text[end..];
        Some(&text[..end])
    }
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
    while let Some(name) = tokens.next() {
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
                let value = tokens.next().ok_or_else(|| format!("field {name} missing value"))?;
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
    // Rate and burst size seen for each band, and its precedence.
    let mut seen: Vec<(bool, bool, bool)> = Vec::new();
    let mut tokens = Tokens(text);
    while let Some(name) = tokens.next() {
        let value = tokens.next().ok_or_else(|| format!("field {name} missing value"))?;
        if name == "type" {
            let kind = match value {
                "drop" => BandType::Drop,
                "dscp_remark" => BandType::DscpRemark,
                other => return Err(format!("field {name} unknown value {other}")),
            };
            bands.push(MeterBand { kind, prec_level: 0, rate: 0, burst_size: 0 });
            seen.push((false, false, false));
            continue;
        }
        let (Some(band), Some(seen)) = (bands.last_mut(), seen.last_mut()) else {
            return Err("band must start with the 'type' keyword".to_string());
        };
        match name {
            "rate" => {
                band.rate = u32_of(value)?;
                seen.0 = true;
            }
            "burst_size" => {
                band.burst_size = u32_of(value)?;
                seen.1 = true;
            }
            "prec_level" => {
                band.prec_level = u8_of(value, name)?;
                seen.2 = true;
            }
            _ => return Err(format!("unknown keyword {name}")),
        }
    }
    if bands.is_empty() {
        return Err("meter must have bands".to_string());
    }
    for (band, (rate, burst, prec)) in bands.iter().zip(&seen) {
        check_band(band, *rate, *burst, *prec, flags)?;
    }
    Ok(bands)
}

fn check_band(band: &MeterBand, rate: bool, burst: bool, prec: bool, flags: u16) -> Result<(), String> {
    if !rate {
        return Err("band must have 'rate'".to_string());
    }
    let wants_burst = flags & meter_flag::BURST != 0;
    if wants_burst && !burst {
        return Err("band must have 'burst_size' when 'burst' flag is set".to_string());
    }
    if !wants_burst && burst {
        return Err("band may have 'burst_size' only when 'burst' flag is set".to_string());
    }
    match band.kind {
        BandType::DscpRemark if !prec => Err("'dscp_remark' band must have 'prec_level'".to_string()),
        BandType::Drop if prec => Err("Only 'dscp_remark' band may have 'prec_level'".to_string()),
        _ => Ok(()),
    }
}
