//! The order of the layers, declared once for each side. What a step does is said in its
//! file; why it stands where it stands is said here.

use tokio_util::sync::CancellationToken;
use tower::{Layer, ServiceBuilder};

use crate::{
    Internal, Limits, PeerToken,
    layers::{
        Callers, CatchPanics, CatchPanicsLayer, Deadline, Drain, Gate, GateLayer, LoadLimit,
        Metrics, Observe, ObserveLayer, PeersOnly, ReadDeadline, RequestIds, SendCredential,
        SizeLimit, SizeLimited, Spans, Until, UntilLayer,
    },
};

/// What stands around every server: observed, and bounded against bugs and size.
type Observed<S> = Gate<RequestIds, Observe<(Spans, Metrics), CatchPanics<SizeLimited<S>>>>;

/// What stands around the work: bounded in time.
type Bounded<S> = Until<(Deadline, Drain), S>;

/// The stack of a service that only our own services may call.
pub type InternalStack<S> =
    Observed<Gate<(PeersOnly, LoadLimit, ReadDeadline, Callers), Bounded<S>>>;

/// The stack at the public door, where keys are checked by the gateway itself.
pub type PublicStack<S> = Observed<Gate<(LoadLimit, ReadDeadline), Bounded<S>>>;

/// The stack of a [`Channel`](crate::Channel).
pub type ClientStack<S> = Observe<(Spans, Metrics), Gate<SendCredential, Until<Deadline, S>>>;

/// Serves our own services: over TCP, and in process behind a channel.
pub fn internal<S>(service: S, with: &Internal) -> InternalStack<S> {
    let steps = (
        // First: a stranger takes nobody's place.
        PeersOnly(with.token.clone()),
        // Before anything is read: what is refused costs nothing.
        LoadLimit::new(with.limits.in_flight_max),
        ReadDeadline,
        // Last: nothing but a handler asks for the workspace.
        Callers,
    );
    let guarded = GateLayer(steps).layer(bounded(service, with.draining.clone()));
    observed(guarded, &with.limits)
}

/// Serves everybody. The caller checks keys inside of this stack and sets
/// [`Call::workspace`](crate::Call).
pub fn public<S>(service: S, limits: &Limits, draining: CancellationToken) -> PublicStack<S> {
    let steps = (LoadLimit::new(limits.in_flight_max), ReadDeadline);
    let guarded = GateLayer(steps).layer(bounded(service, draining));
    observed(guarded, limits)
}

/// Calls a service, wherever it is.
pub(crate) fn client<S>(transport: S, token: PeerToken) -> ClientStack<S> {
    ServiceBuilder::new()
        // The span outermost, so that its context is what is sent.
        .layer(ObserveLayer((Spans::Client, Metrics::client())))
        .layer(GateLayer(SendCredential(token)))
        // Here as well as at the server, which may be gone without saying so.
        .layer(UntilLayer(Deadline))
        .service(transport)
}

fn observed<S>(service: S, limits: &Limits) -> Observed<S> {
    ServiceBuilder::new()
        // First, because everything that is logged or refused names the request.
        .layer(GateLayer(RequestIds))
        // Around all that can fail, so that refusals are seen as well.
        .layer(ObserveLayer((Spans::Server, Metrics::server())))
        // Inside of what observes: a panic is a code like any other.
        .layer(CatchPanicsLayer)
        .layer(SizeLimit(limits.message_bytes_max))
        .service(service)
}

/// Innermost, because the work is what takes time.
fn bounded<S>(service: S, draining: CancellationToken) -> Bounded<S> {
    UntilLayer((Deadline, Drain::new(draining))).layer(service)
}
