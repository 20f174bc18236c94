//! The rings' datapath, on ports made of vectors, is a forwarding layer.

mod common;

use common::*;
use dp::Config;
use dp::dpif::{Dpif, conformance};
use flow::Upcall;

impl conformance::Stage for Rig {
    fn dpif(&mut self) -> &mut dyn Dpif {
        &mut self.dp
    }

    fn inject(&mut self, port: u32, frame: &[u8]) -> Vec<Upcall> {
        self.inject_at(port, [plain(frame.to_vec())]);
        self.take_upcalls()
    }

    fn sent(&mut self, port: u32) -> Vec<Vec<u8>> {
        Rig::sent(self, port).into_iter().map(|f| f.0).collect()
    }
}

#[test]
fn the_datapath_conforms() {
    for (emc_insert_inv_prob, smc) in [(0, false), (1, false), (1, true)] {
        let mut rig = Rig::new(Config { emc_insert_inv_prob, smc, ..Config::default() });
        conformance::check(&mut rig).unwrap();
    }
}
