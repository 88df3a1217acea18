//! The generated trait of bulk imports: requests of a stream become results, several at
//! a time and in their order. Decides nothing.

use std::{pin::Pin, sync::Arc};

use attune_api::profile::v1::{
    ImportMessagesRequest, ImportMessagesResponse, import_service_server::ImportService,
};
use attune_rpc::Caller;
use futures::{Stream, TryStreamExt as _};
use tonic::{Request, Response, Status, Streaming};

use super::{Rpc, traceparent};
use crate::convert::message;

/// Requests of one stream that are on their way to the database at a time. Enough for
/// the next batch to wait while one is written; whoever does not read results is not
/// read from.
const IN_FLIGHT: usize = 4;

type Responses = Pin<Box<dyn Stream<Item = Result<ImportMessagesResponse, Status>> + Send>>;

#[tonic::async_trait]
impl ImportService for Rpc {
    type ImportMessagesStream = Responses;

    async fn import_messages(
        &self,
        request: Request<Streaming<ImportMessagesRequest>>,
    ) -> Result<Response<Responses>, Status> {
        let caller = Caller::of(&request)?;
        let workspace: Arc<str> = Arc::from(caller.workspace.as_str());
        let (service, trace) = (self.0.clone(), traceparent());
        let responses = request
            .into_inner()
            .map_ok(move |request| {
                let (service, workspace) = (service.clone(), workspace.clone());
                let (trace, caller) = (trace.clone(), caller.clone());
                async move {
                    let now_ms = service.shared.clock.now_ms();
                    let sent = message::named(request.messages, &caller);
                    let imported = service.import(&workspace, sent, &trace, now_ms);
                    match imported.await {
                        Ok(results) => Ok(ImportMessagesResponse { results }),
                        Err(error) => Err(error.into_status(caller.request_id.as_str())),
                    }
                }
            })
            .try_buffered(IN_FLIGHT);
        Ok(Response::new(Box::pin(responses)))
    }
}
