//! When the switch asks processors to wake soon (`other_config:low-latency`), as a file hears it that stands for the kernel's
//! device: which is the whole machine's, and so other tests' as well.

use harness::lab::{Lab, on_lab};
use harness::process;
use harness::side::Side;
use std::path::PathBuf;
use std::time::Duration;

const DEVICE: &str = "/dev/cpu_dma_latency";
const SOON: Duration = Duration::from_secs(60);

fn need(what: &str, holds: bool) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("not so: {what}")) }
}

/// What stands for the device.
struct Device(PathBuf);

impl Device {
    /// Starts the lab's switch anew, which finds it in the device's place; `None`: this machine has no such place.
    fn under(lab: &mut Lab, options: &[&str]) -> Result<Option<Self>, String> {
        let file = lab.place.dir().join("latency");
        let is_new = !file.exists();
        std::fs::write(&file, "").map_err(|error| error.to_string())?;
        lab.host.line(&format!("chmod 600 {}", file.display()))?;
        lab.appctl("exit")?;
        lab.place.switch().ok_or("no switch")?.wait(SOON);
        if !std::path::Path::new(DEVICE).exists() {
            lab.place.start_switch(options)?;
            let log = std::fs::read_to_string(lab.place.dir().join("log/ovs-vswitchd.log")).unwrap_or_default();
            return need("it says so", log.contains("processors sleep as they like")).map(|()| None);
        }
        if is_new {
            lab.place.put_over(&file, DEVICE);
        }
        lab.place.start_switch(options)?;
        Ok(Some(Self(file)))
    }

    /// All that was asked for, microseconds.
    fn heard(&self) -> Vec<i32> {
        let octets = std::fs::read(&self.0).unwrap_or_default();
        octets.chunks(4).filter_map(|us| Some(i32::from_ne_bytes(us.try_into().ok()?))).collect()
    }

    /// Whether processors are to wake soon.
    fn is_held(&self) -> bool {
        self.heard().last().is_some_and(|us| (0..=2).contains(us))
    }

    fn awaits(&self, is_held: bool, when: &str) -> Result<(), String> {
        process::until(when, SOON, || self.is_held() == is_held).map_err(|why| format!("{why}: {:?}", self.heard()))
    }
}

#[test]
fn processors_wake_soon_while_packets_come_often() {
    on_lab(Side::debian(), &[], |lab| {
        let Some(device) = Device::under(lab, &[])? else { return Ok(()) };
        let guests = lab.bridge_with_guests(2, 1500)?;
        let [a, b] = guests.as_slice() else { return Err("two guests".into()) };
        need("the two reach each other", a.reaches(&b.ip))?;
        device.awaits(false, "nothing to be asked for")?;
        let said = |name: &str| lab.place.dir().join(name);
        let _server = b.space.start(&["iperf3", "-s", "--forceflush"], &said("server"))?;
        process::until("iperf3 to listen", SOON, || {
            std::fs::read_to_string(said("server")).is_ok_and(|text| text.contains("listening"))
        })?;
        // 12,500 a second.
        let words = ["iperf3", "-c", &b.ip, "-u", "-b", "20M", "-l", "200", "-t", "600"];
        let load = a.space.start(&words, &said("client"))?;
        device.awaits(true, "packets to come often")?;
        process::until("it to be told of", SOON, || {
            lab.appctl("dpif-netdev/kernel-path-show").is_ok_and(|text| text.contains("are to be awake within: "))
        })?;
        lab.vsctl("set open_vswitch . other_config:low-latency=false")?;
        need("turned off", !device.is_held())?;
        let heard = device.heard().len();
        let passed = || -> Option<u64> {
            let ports = lab.ofctl("dump-ports br0 v1").ok()?;
            ports.split("rx pkts=").nth(1)?.split(',').next()?.parse().ok()
        };
        let before = passed().ok_or("no counts")?;
        process::until("many to pass", SOON, || passed().is_some_and(|now| now > before + 20_000))?;
        need(&format!("turned off it stays: {:?}", device.heard()), device.heard().len() == heard)?;
        lab.vsctl("remove open_vswitch . other_config low-latency")?;
        device.awaits(true, "it to be as before")?;
        drop(load);
        device.awaits(false, "calm")
    });
}

#[test]
fn who_wants_it_has_it_always() {
    on_lab(Side::debian(), &[], |lab| {
        let Some(device) = Device::under(lab, &[])? else { return Ok(()) };
        lab.vsctl("set open_vswitch . other_config:low-latency=true")?;
        need("there is no bridge", !device.is_held())?;
        for value in ["false", "maybe"] {
            lab.vsctl("add-br br0 -- set open_vswitch . other_config:low-latency=true")?;
            need("there is one", device.is_held())?;
            lab.vsctl(&format!("set open_vswitch . other_config:low-latency={value}"))?;
            need(value, !device.is_held())?;
            lab.vsctl("set open_vswitch . other_config:low-latency=true")?;
            need("turned on", device.is_held())?;
            lab.vsctl("del-br br0")?;
            need("there is none any more", !device.is_held())?;
        }
        let log = std::fs::read_to_string(lab.place.dir().join("log/ovs-vswitchd.log")).unwrap_or_default();
        need("it warns of what it does not know", log.contains("low-latency is neither true nor false: maybe"))?;
        // Whoever gives up root has opened it before.
        let dir = lab.place.dir().display().to_string();
        lab.host.line(&format!("chown -R nobody {dir}/run {dir}/log"))?;
        let device = Device::under(lab, &["--user=nobody"])?.ok_or("no device")?;
        lab.vsctl("--no-wait add-br br0")?;
        device.awaits(true, "another user to have it as well")
    });
}
