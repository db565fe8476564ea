//! The shop as three services in one process: the shop itself, and beside it stock and payment, each with a journal and an address of its own.
//!
//! The shop knows the others as peers. They lie in folders of the shop's data directory, and have other ports at each start.

use std::path::Path;

use headwater::command_line::{GlobalFlags, StopSignals, announce, data_as_told, start_as_told};
use headwater::{Exit, Failure, Running};

use super::Arguments;
use crate::shop;
use crate::shop::articles::ARTICLES;
use crate::shop::stock::{Stock, StockCommand};
use crate::shop::{payment, stock};

/// Pieces of each article that the stock begins with.
const OPENING_STOCK: u32 = 100_000;

/// See the module.
pub(super) struct Services {
    pub(super) shop: Running,
    others: Vec<Running>,
}

impl Services {
    /// Starts them, or the shop alone.
    pub(super) async fn start(arguments: &Arguments, flags: &GlobalFlags) -> Result<Self, Failure> {
        if arguments.alone {
            let shop = start_as_told(&shop::service_keeping(arguments.keep_last), flags).await?;
            return Ok(Self { shop, others: Vec::new() });
        }
        let data = data_as_told(&shop::service(), flags)?;
        let stock = beside(stock::service(), &data, stock::STOCK).await?;
        let payment = beside(payment::service(), &data, payment::PAYMENT).await?;
        open(&stock).await?;
        let peers = shop::Peers { stock: stock.url().to_owned(), payment: payment.url().to_owned() };
        let shop = start_as_told(&shop::with_peers(arguments.keep_last, &peers), flags).await?;
        Ok(Self { shop, others: vec![stock, payment] })
    }

    /// Says where they are.
    pub(super) fn announce(&self, as_json: bool) -> Result<(), Failure> {
        announce(shop::NAME, &self.shop, as_json)?;
        self.others.iter().zip([stock::STOCK, payment::PAYMENT]).try_for_each(|(other, name)| announce(name, other, as_json))
    }

    pub(super) async fn stop(self) {
        self.shop.stop().await;
        for other in self.others {
            other.stop().await;
        }
    }

    /// The same, for a signal.
    pub(super) async fn drain(self, stop: &mut StopSignals) -> Result<Exit, Failure> {
        let ended = stop.drain(self.shop).await?;
        if ended == Exit::Done {
            for other in self.others {
                other.stop().await;
            }
        }
        Ok(ended)
    }
}

async fn beside(service: headwater::Service, data: &Path, name: &str) -> Result<Running, Failure> {
    service.listen("127.0.0.1:0").data(data.join(name).display().to_string()).start().await
}

/// Has something to sell, once.
async fn open(stock: &Running) -> Result<(), Failure> {
    for article in &ARTICLES {
        let put_in = StockCommand::PutIn { pieces: OPENING_STOCK };
        let put = stock.client().keyed("opening").send::<Stock>(article.sku, put_in).await;
        put.map_err(|error| Failure::plain(Exit::Failed, format!("the stock of {} cannot be opened: {error}", article.sku)))?;
    }
    Ok(())
}
