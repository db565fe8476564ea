//! Process tests: the `headwater` binary from outside, as a person or a script meets it.

mod backup;
mod board;
mod browser;
mod cards;
mod command_line;
mod compacted;
mod demo;
mod disk;
mod export;
mod import;
mod kill;
mod logistics;
mod migrated;
mod nodes;
mod postgres;
mod process;
mod restored;
mod retail;
mod retained;
mod schemas;
mod services;
mod stop;
mod timers;
mod topics;
mod torture;
mod views;
