//! JSON-RPC 1.0: framing, messages, session state.
