//! The database behind a service's shared views: the engine's own, or the one that the setting `views` names.

use runtime::{Parts, SharedViews};

use crate::config::Config;
use crate::exit::Exit;
use crate::failure::{Failure, VIEWS_NOWHERE};

/// Lets the database check the shared views of a service; `None` when it has none.
///
/// # Errors
/// When there is no database, it is refused, or a definition does not hold together.
pub(crate) async fn checked(config: &Config, parts: &Parts) -> Result<Option<SharedViews>, Failure> {
    let Some(view) = parts.views.iter().find(|view| runtime::is_shared_view(view)) else { return Ok(None) };
    let Some(url) = &config.views else {
        let message = format!(
            "view `{}` lies in PostgreSQL, and the engine is none; name a database with --views postgres://HOST/DATABASE, or HEADWATER_VIEWS",
            view.name()
        );
        return Err(Failure::new(Exit::Configuration, VIEWS_NOWHERE, message));
    };
    postgres::checked(url, parts).await.map(Some)
}

#[cfg(feature = "postgres")]
mod postgres {
    //! By the engine's own driver.

    use std::sync::Arc;

    use engine_postgres::{Address, OpenError, PostgresViews};
    use runtime::view_server::ViewServer;
    use runtime::{Parts, SharedViews, StartError};

    use crate::config::without_password;
    use crate::exit::Exit;
    use crate::failure::{COMPONENTS, CONFIGURATION_VALUE, DATABASE_UNREACHABLE, Failure};
    use crate::store::database_code;

    pub(super) async fn checked(url: &str, parts: &Parts) -> Result<SharedViews, Failure> {
        let address = Address::new(url, Some(&parts.service)).map_err(|error| not_opened(url, &OpenError::Url(error)))?;
        let views: Arc<dyn ViewServer> = Arc::new(PostgresViews::open(address).await.map_err(|error| not_opened(url, &error))?);
        SharedViews::check(&views, parts).await.map_err(|error| match error {
            StartError::ViewServer { .. } => {
                Failure::new(Exit::Failed, DATABASE_UNREACHABLE, format!("views {}: {error}", without_password(url)))
            }
            error => Failure::configuration(COMPONENTS, error.to_string()),
        })
    }

    fn not_opened(url: &str, error: &OpenError) -> Failure {
        let (exit, code) = match error {
            OpenError::Url(_) => (Exit::Configuration, CONFIGURATION_VALUE),
            error => database_code(error),
        };
        Failure::new(exit, code, format!("views {}: {error}", without_password(url)))
    }
}

#[cfg(not(feature = "postgres"))]
mod postgres {
    //! The configuration has refused the URL already.

    use runtime::{Parts, SharedViews};

    use crate::exit::Exit;
    use crate::failure::{Failure, VIEWS_NOWHERE};

    pub(super) async fn checked(_: &str, _: &Parts) -> Result<SharedViews, Failure> {
        Err(Failure::new(Exit::Configuration, VIEWS_NOWHERE, "this build leaves PostgreSQL out; build it with the feature `postgres`"))
    }
}
