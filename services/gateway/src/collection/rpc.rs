//! The generated trait of `CollectionService` onto its two use cases: each call is a
//! message of a batch of one.

use attune_api::gateway::v1::{
    AliasRequest, BatchMessage, BatchRequest, CollectResponse, GroupRequest, IdentifyRequest,
    PageRequest, ScreenRequest, TrackRequest, collection_service_server::CollectionService,
};
use attune_rpc::Caller;
use tonic::{Request, Response, Status};

use super::Collection;
use crate::{
    Error,
    door::{Signal, answer},
};

type Reply = Result<Response<CollectResponse>, Status>;

impl Collection {
    async fn one<T>(&self, request: Request<Call<T>>) -> Reply
    where
        BatchMessage: From<Call<T>>,
    {
        let (caller, signal) = (Caller::of(&request)?, Signal::of(&request));
        let message = request.into_inner().into();
        done(&caller, self.collect(&caller, message, signal).await)
    }
}

fn done(caller: &Caller, result: Result<(), Error>) -> Reply {
    answer(caller, result.map(|()| CollectResponse { success: true }))
}

#[tonic::async_trait]
impl CollectionService for Collection {
    async fn identify(&self, request: Request<IdentifyRequest>) -> Reply {
        self.one(request.map(Call)).await
    }

    async fn track(&self, request: Request<TrackRequest>) -> Reply {
        self.one(request.map(Call)).await
    }

    async fn page(&self, request: Request<PageRequest>) -> Reply {
        self.one(request.map(Call)).await
    }

    async fn screen(&self, request: Request<ScreenRequest>) -> Reply {
        self.one(request.map(Call)).await
    }

    async fn group(&self, request: Request<GroupRequest>) -> Reply {
        self.one(request.map(Call)).await
    }

    async fn alias(&self, request: Request<AliasRequest>) -> Reply {
        self.one(request.map(Call)).await
    }

    async fn batch(&self, request: Request<BatchRequest>) -> Reply {
        let (caller, signal) = (Caller::of(&request)?, Signal::of(&request));
        let request = request.into_inner();
        let taken = Collection::batch(self, &caller, request, signal);
        done(&caller, taken.await)
    }
}

/// A call on its way to the one shape that all have.
struct Call<T>(T);

/// Moves the named fields over; each call has some of them.
macro_rules! into_message {
    ($($request:ty, $kind:literal, [$($field:ident),*];)*) => {$(
        impl From<Call<$request>> for BatchMessage {
            fn from(Call(request): Call<$request>) -> Self {
                Self {
                    r#type: $kind.to_owned(),
                    message_id: request.message_id,
                    user_id: request.user_id,
                    context: request.context,
                    timestamp: request.timestamp,
                    sent_at: request.sent_at,
                    $($field: request.$field,)*
                    ..Self::default()
                }
            }
        }
    )*};
}
into_message! {
    IdentifyRequest, "identify", [anonymous_id, traits];
    TrackRequest, "track", [anonymous_id, event, properties];
    PageRequest, "page", [anonymous_id, name, category, properties];
    ScreenRequest, "screen", [anonymous_id, name, category, properties];
    GroupRequest, "group", [anonymous_id, group_id, traits];
    AliasRequest, "alias", [previous_id];
}
