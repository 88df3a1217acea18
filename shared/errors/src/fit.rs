//! Makes a failure fit the headers of a foreign client. gRPC libraries other than ours
//! refuse answers whose headers exceed 8 KiB, and then tell nothing of the failure; so
//! the last violations give way, counted, rather than all of them. HTTP/JSON and our own
//! services get every one.

use tonic::{Status, metadata::MetadataMap};
use tonic_types::{ErrorDetails, StatusExt};

const DETAILS: &str = "grpc-status-details-bin";
/// Of the 8 KiB, the rest is for the message and ordinary metadata.
const DETAILS_BYTES_MAX: usize = 6 << 10;

/// Leaves off violations until the status in `headers` fits; a look when it does.
pub fn fit_headers(headers: &mut http::HeaderMap) {
    let length = headers.get(DETAILS).map_or(0, |details| details.len());
    if length <= DETAILS_BYTES_MAX {
        return;
    }
    if let Some(status) = Status::from_header_map(headers) {
        // Fails only for a message that is no header value, which this one was.
        let _ = fit(&status).add_header(headers);
    }
}

fn fit(status: &Status) -> Status {
    let details = status.get_error_details();
    let count = details
        .bad_request()
        .map_or(0, |b| b.field_violations.len());
    // The largest number of violations that fits, between 0, which does, and all.
    let (mut fits, mut exceeds) = (0, count + 1);
    while exceeds - fits > 1 {
        let middle = fits + (exceeds - fits) / 2;
        if encoded_len(&cut(status, &details, middle)) <= DETAILS_BYTES_MAX {
            fits = middle;
        } else {
            exceeds = middle;
        }
    }
    cut(status, &details, fits)
}

/// As a header it is base64.
fn encoded_len(status: &Status) -> usize {
    status.details().len().div_ceil(3) * 4
}

fn cut(status: &Status, details: &ErrorDetails, keep: usize) -> Status {
    let mut details = details.clone();
    let mut list = details
        .bad_request()
        .map_or_else(Vec::new, |b| b.field_violations.clone());
    let left_off = list.len().saturating_sub(keep);
    list.truncate(keep);
    details.set_bad_request(list);
    if let Some(info) = details.error_info().cloned() {
        let mut metadata = info.metadata;
        let before = metadata.get("violations_left_off");
        let before: usize = before.and_then(|n| n.parse().ok()).unwrap_or(0);
        let total = (before + left_off).to_string();
        metadata.insert("violations_left_off".to_owned(), total);
        details.set_error_info(info.reason, info.domain, metadata);
    }
    let metadata: MetadataMap = status.metadata().clone();
    let message = status.message();
    Status::with_error_details_and_metadata(status.code(), message, details, metadata)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Fault, Violations, metadata_of, violations_of};

    fn headers_of(count: usize) -> http::HeaderMap {
        let mut found = Violations::new();
        for i in 0..count {
            found.push(format!("items[{i}].price.currency_code"), "must be set");
        }
        let mut headers = http::HeaderMap::new();
        let status = Status::from(Fault::invalid(found));
        status.add_header(&mut headers).unwrap();
        headers
    }

    #[test]
    fn what_fits_is_left_alone() {
        let mut headers = headers_of(20);
        let before = headers.clone();
        fit_headers(&mut headers);
        assert_eq!(headers, before);
    }

    #[test]
    fn what_does_not_fit_keeps_its_first_violations_and_counts_the_rest() {
        let mut headers = headers_of(500);
        fit_headers(&mut headers);
        assert!(headers[DETAILS].len() <= DETAILS_BYTES_MAX);
        let status = Status::from_header_map(&headers).unwrap();
        let kept = violations_of(&status);
        assert!(kept.len() > 50, "{}", kept.len());
        assert_eq!(kept[0].0, "items[0].price.currency_code");
        let left_off = metadata_of(&status, "violations_left_off").unwrap();
        assert_eq!(left_off, (500 - kept.len()).to_string());
    }
}
