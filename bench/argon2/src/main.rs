//! The hash as a program of this machine: a line in, a hash computed, the hash out.
#![allow(clippy::print_stdout, reason = "the hash is what it is asked for")]

use std::io;

fn main() -> io::Result<()> {
    for line in io::stdin().lines() {
        line?;
        println!("{}", argon2_alone::hash());
    }
    Ok(())
}
