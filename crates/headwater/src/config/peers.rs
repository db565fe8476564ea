//! Where peers are: `--peer order=URL`, `HEADWATER_PEER_ORDER`, and the table `[peers]` of the file, in that order.
//!
//! The environment is asked for the peers that somebody names: the service, a flag or the file.

use component::hosted::named_destination;

use super::file::FileValues;
use super::settings::Source;
use super::{Environment, Flags, in_environment};
use crate::failure::{CONFIGURATION_VALUE, Failure};

/// Where a peer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) source: Source,
}

/// The variable that names a peer's address.
fn variable(peer: &str) -> String {
    format!("HEADWATER_PEER_{}", peer.to_uppercase().replace('-', "_"))
}

/// All peers that are known, ordered by name.
pub(super) fn resolve(flags: &Flags, environment: Environment<'_>, file: &FileValues) -> Result<Vec<Peer>, Failure> {
    let named = flags.peer_names.iter().chain(flags.peers.iter().map(|(name, _)| name)).chain(file.peers.iter().map(|(name, _)| name));
    let mut names: Vec<&String> = named.collect();
    names.sort();
    names.dedup();
    let found = names.into_iter().filter_map(|name| resolve_one(name, flags, environment, file).transpose());
    found.collect()
}

fn resolve_one(name: &str, flags: &Flags, environment: Environment<'_>, file: &FileValues) -> Result<Option<Peer>, Failure> {
    let of = |list: &[(String, String)]| list.iter().find(|(known, _)| known == name).map(|(_, address)| address.clone());
    let variable = variable(name);
    let found = match of(&flags.peers) {
        Some(address) => Some((address, Source::Flag("peer"))),
        None => match in_environment(environment, &variable)? {
            Some(address) => Some((address, Source::Environment(variable.into()))),
            None => of(&file.peers).map(|address| (address, Source::File(file.path.clone()))),
        },
    };
    let Some((address, source)) = found else { return Ok(None) };
    let refused = |problem: String| {
        let wanted = "scheme, host and port of a service, such as http://127.0.0.1:7431";
        let message = format!("the peer {name} is at `{address}` ({source}), which {problem}; it must be {wanted}");
        Failure::configuration(CONFIGURATION_VALUE, message)
    };
    named_destination(&address).map_err(&refused)?;
    Ok(Some(Peer { name: name.to_owned(), address, source }))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::file::parse;

    fn file(text: &str) -> FileValues {
        parse(Path::new("headwater.toml"), text).unwrap_or_default()
    }

    fn flags(names: &[&str], peers: &[(&str, &str)]) -> Flags {
        let peers = peers.iter().map(|(name, address)| ((*name).to_owned(), (*address).to_owned()));
        Flags { peer_names: names.iter().map(|name| (*name).to_owned()).collect(), peers: peers.collect(), ..Flags::default() }
    }

    #[test]
    fn the_strongest_source_says_where_a_peer_is() {
        let environment = |name: &str| (name == "HEADWATER_PEER_STOCK_ROOM").then(|| "http://env:1".into());
        let file = file("[peers]\nstock-room = \"http://file:1\"\norder = \"http://file:2\"\n");
        let found = |flags: Flags| -> Vec<(String, String)> {
            let peers = resolve(&flags, &environment, &file).unwrap_or_default();
            peers.into_iter().map(|peer| (peer.name, peer.address)).collect()
        };
        let pair = |name: &str, address: &str| (name.to_owned(), address.to_owned());
        assert_eq!(found(flags(&[], &[])), [pair("order", "http://file:2"), pair("stock-room", "http://env:1")]);
        assert_eq!(found(flags(&["bank"], &[("order", "http://flag:3")]))[0], pair("order", "http://flag:3"));
    }

    #[test]
    fn an_address_that_is_none_is_refused_with_its_source() {
        let refused = resolve(&flags(&[], &[("order", "127.0.0.1:7431")]), &|_| None, &FileValues::default());
        let message = refused.err().map(|failure| failure.to_string()).unwrap_or_default();
        assert!(message.contains("order") && message.contains("--peer") && message.contains("http://127.0.0.1:7431"), "{message}");
    }
}
