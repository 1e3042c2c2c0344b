//! What `./wardgate dev` promises of itself.
