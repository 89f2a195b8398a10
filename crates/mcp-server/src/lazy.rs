//! The registry, opened by the first tool call: `initialize` must answer whatever state the disk is in.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

use registry_core::QueryRegistry;
use registry_core::error::RegistryError;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

/// Opens the registry; called again after it failed.
pub type Opener = Box<dyn Fn() -> Opening + Send + Sync>;
/// A registry being opened.
pub type Opening = Pin<Box<dyn Future<Output = Result<Opened, OpenError>> + Send>>;

/// A registry with all connections that could be set up.
#[derive(Debug)]
pub struct Opened {
    /// The registry.
    pub registry: QueryRegistry,
    /// Why the others could not, by their names.
    pub missing: HashMap<String, OpenError>,
}

impl OpenError {
    /// The class of the error in a word, for the answers of tools.
    pub fn kind_word(&self) -> &'static str {
        match self {
            Self::Engine { .. } => "connection",
            Self::Registry(error) => error.kind_word(),
        }
    }
}

impl From<QueryRegistry> for Opened {
    fn from(registry: QueryRegistry) -> Self {
        Self { registry, missing: HashMap::new() }
    }
}

/// Why there is no registry. It may be mended while the server runs.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum OpenError {
    /// The engine of a connection cannot be set up.
    #[error("connection {connection}: {reason}")]
    Engine {
        /// The connection.
        connection: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The stored state cannot be read.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

/// A registry that is opened on first use.
pub struct LazyRegistry {
    opener: Opener,
    cell: OnceCell<Opened>,
    /// Cancelled once it is open.
    open: CancellationToken,
}

impl LazyRegistry {
    /// Nothing is opened yet.
    pub fn new(opener: Opener) -> Self {
        Self { opener, cell: OnceCell::new(), open: CancellationToken::new() }
    }

    /// A registry that is open already.
    pub fn opened(registry: QueryRegistry) -> Self {
        let opener: Opener = Box::new(|| Box::pin(async { Err(RegistryError::Closed.into()) }));
        let open = CancellationToken::new();
        open.cancel();
        Self { opener, cell: OnceCell::new_with(Some(registry.into())), open }
    }

    /// The registry; opened now if it is not. Callers at the same time share one opening.
    pub async fn get(&self) -> Result<&QueryRegistry, OpenError> {
        let opened = self.cell.get_or_try_init(|| (self.opener)()).await?;
        self.open.cancel();
        Ok(&opened.registry)
    }

    /// The registry, once some call has opened it.
    pub async fn when_opened(&self) -> Option<&QueryRegistry> {
        self.open.cancelled().await;
        self.if_opened()
    }

    /// The registry, if some call has opened it.
    pub fn if_opened(&self) -> Option<&QueryRegistry> {
        self.cell.get().map(|opened| &opened.registry)
    }

    /// Why the connection `name` is not there although it is configured.
    pub fn missing(&self, name: &str) -> Option<&OpenError> {
        self.cell.get()?.missing.get(name)
    }
}

impl fmt::Debug for LazyRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LazyRegistry").field("opened", &self.cell.initialized()).finish_non_exhaustive()
    }
}
