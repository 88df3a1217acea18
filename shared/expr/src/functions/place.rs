//! Distances on the earth.

use crate::value::Value;

/// The mean radius of the earth (IUGG), in metres.
const EARTH_RADIUS_M: f64 = 6_371_008.8;

/// Great-circle distance in metres by the haversine formula (R. W. Sinnott, "Virtues of
/// the Haversine", Sky and Telescope 68, 1984), within 0.5 % of the ellipsoid's.
/// Latitude and longitude in degrees.
fn distance_m(lat1: f64, lng1: f64, lat2: f64, lng2: f64) -> f64 {
    let (lat1, lat2) = (lat1.to_radians(), lat2.to_radians());
    let lng = (lng2 - lng1).to_radians();
    let half_chord =
        ((lat2 - lat1) / 2.0).sin().powi(2) + lat1.cos() * lat2.cos() * (lng / 2.0).sin().powi(2);
    2.0 * EARTH_RADIUS_M * half_chord.clamp(0.0, 1.0).sqrt().asin()
}

/// Missing where one of the four is, or is no place on earth.
pub(super) fn distance(coordinates: [&Value<'_>; 4]) -> Value<'static> {
    let [Some(lat1), Some(lng1), Some(lat2), Some(lng2)] = coordinates.map(Value::as_number) else {
        return Value::Missing;
    };
    let is_place = |lat: f64, lng: f64| lat.abs() <= 90.0 && lng.abs() <= 360.0;
    if is_place(lat1, lng1) && is_place(lat2, lng2) {
        Value::Number(distance_m(lat1, lng1, lat2, lng2))
    } else {
        Value::Missing
    }
}
