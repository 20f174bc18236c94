//! To a revalidator.

use actix::prelude::*;

/// Something changed: look at the cached flows soon (C).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Stir;

/// Look at all of them now; answered when done (Q).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Sweep;

/// Take all of them out; answered when done (Q).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Purge;
