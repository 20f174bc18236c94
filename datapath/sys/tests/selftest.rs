//! The start-up self-test itself.

#[test]
fn early_reading_works_here() {
    match sys::early_reading_works() {
        Ok(works) => assert!(works, "early reading of TPACKET_V3 does not work on this kernel"),
        Err(e) => panic!("the self-test needs root and a kernel with veth: {e}"),
    }
}
