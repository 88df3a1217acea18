//! The order of the layers, declared once for each side. What a layer does is said in
//! its file; why it stands where it stands is said here.

use tokio_util::sync::CancellationToken;
use tower::{Layer, ServiceBuilder};

use crate::{
    Internal, Limits, PeerToken,
    layers::{
        Callers, CatchPanics, CatchPanicsLayer, Deadlines, DeadlinesLayer, Drains, DrainsLayer,
        Gate, GateLayer, LoadLimit, Metrics, Observe, ObserveLayer, PeersOnly, ReadDeadline,
        RequestIds, SendCredential, SizeLimit, SizeLimited, Spans,
    },
};

/// What stands around every server: observed, and bounded against bugs and size.
type Observed<S> = Gate<RequestIds, Observe<Spans, Observe<Metrics, CatchPanics<SizeLimited<S>>>>>;

/// What stands around the work: bounded in number and time.
type Bounded<S> = Gate<LoadLimit, Gate<ReadDeadline, Deadlines<Drains<S>>>>;

/// The stack of a service that only our own services may call.
pub type InternalStack<S> = Observed<Gate<PeersOnly, Bounded<Gate<Callers, S>>>>;

/// The stack at the public door, where keys are checked by the gateway itself.
pub type PublicStack<S> = Observed<Bounded<S>>;

/// The stack of a [`Channel`](crate::Channel).
pub type ClientStack<S> = Observe<Spans, Observe<Metrics, Gate<SendCredential, Deadlines<S>>>>;

/// Serves our own services: over TCP, and in process behind a channel.
pub fn internal<S>(service: S, with: &Internal) -> InternalStack<S> {
    let guarded = ServiceBuilder::new()
        // Before the load limit: a stranger takes nobody's place.
        .layer(GateLayer(PeersOnly(with.token.clone())))
        .service(bounded(
            // Innermost: nothing but a handler asks for the workspace.
            GateLayer(Callers).layer(service),
            &with.limits,
            with.draining.clone(),
        ));
    observed(guarded, &with.limits)
}

/// Serves everybody. The caller checks keys inside of this stack and sets
/// [`Call::workspace`](crate::Call).
pub fn public<S>(service: S, limits: &Limits, draining: CancellationToken) -> PublicStack<S> {
    observed(bounded(service, limits, draining), limits)
}

/// Calls a service, wherever it is.
pub(crate) fn client<S>(transport: S, token: PeerToken) -> ClientStack<S> {
    ServiceBuilder::new()
        // Outermost, so that its context is what is sent.
        .layer(ObserveLayer(Spans::Client))
        .layer(ObserveLayer(Metrics::client()))
        .layer(GateLayer(SendCredential(token)))
        // Here as well as at the server, which may be gone without saying so.
        .layer(DeadlinesLayer)
        .service(transport)
}

fn observed<S>(service: S, limits: &Limits) -> Observed<S> {
    ServiceBuilder::new()
        // First, because everything that is logged or refused names the request.
        .layer(GateLayer(RequestIds))
        // Around all that can fail, so that refusals are seen as well.
        .layer(ObserveLayer(Spans::Server))
        .layer(ObserveLayer(Metrics::server()))
        // Inside of what observes: a panic is a code like any other.
        .layer(CatchPanicsLayer)
        .layer(SizeLimit(limits.message_bytes_max))
        .service(service)
}

fn bounded<S>(service: S, limits: &Limits, draining: CancellationToken) -> Bounded<S> {
    ServiceBuilder::new()
        // Before the deadline is armed: what is refused costs nothing.
        .layer(GateLayer(LoadLimit::new(limits.in_flight_max)))
        .layer(GateLayer(ReadDeadline))
        .layer(DeadlinesLayer)
        .layer(DrainsLayer::new(draining))
        .service(service)
}
