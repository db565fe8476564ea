//! Process tests: the `headwater` binary from outside, as a person or a script meets it.

mod command_line;
mod demo;
mod kill;
mod process;
mod retail;
mod stop;
