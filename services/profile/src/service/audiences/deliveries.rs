//! Ordering that an audience be delivered, asking how far it is, and calling it off. The
//! sending is `deliver`'s.

use std::sync::Arc;

use attune_api::{
    profile::v1::{AudienceDelivery, ListAudienceDeliveriesResponse},
    time::now_ms,
};
use attune_errors::{Fault, Violations};
use attune_rpc::Caller;
use futures::FutureExt as _;

use super::Wanted;
use crate::{
    Error,
    convert::page,
    domain::delivery::{Delivery, Order},
    service::{Service, audit::Access},
    store::audiences,
};

/// Part of the list.
#[derive(Debug, Clone)]
pub struct ListAsked {
    /// Ids after this one.
    pub after: String,
    pub size: i64,
}

impl Service {
    pub async fn create_delivery(
        &self,
        caller: &Caller,
        order: Order,
    ) -> Result<AudienceDelivery, Error> {
        let workspace: Arc<str> = Arc::from(caller.workspace.as_str());
        let shared = &self.shared;
        let wanted = Wanted {
            segment_id: order.segment_id.clone(),
            purpose: order.purpose.clone(),
            layout: order.layout,
        };
        let total = shared.check_wanted(&workspace, &wanted).await?;
        let destinations = &shared.config.audiences.destinations;
        if !destinations.contains_key(&order.destination) {
            let names: Vec<_> = destinations.keys().map(String::as_str).collect();
            let rule = match names.is_empty() {
                true => "must be a destination of the settings; there are none".to_owned(),
                false => format!(
                    "must be a destination of the settings: {}",
                    names.join(", ")
                ),
            };
            return Err(Violations::of("audience_delivery.destination", rule).into());
        }
        let about = format!(
            "segment {} for {} to {}",
            order.segment_id, order.purpose, order.destination
        );
        let access = Access::of("CreateAudienceDelivery", "").saying(about);
        shared.audit(caller, access).await?;
        let delivery = Delivery::new(order, total, now_ms());
        let created = {
            let (workspace, delivery) = (workspace.clone(), delivery.clone());
            shared.database.write(move |tx| {
                let (workspace, delivery) = (workspace.clone(), delivery.clone());
                async move { audiences::create(tx, &workspace, &delivery).await }.boxed()
            })
        };
        if !created.await? {
            let id = delivery.order.delivery_id;
            return Err(Error::Refused(Fault::exists("audience delivery", id)));
        }
        shared.deliveries.notify_one();
        Ok(delivery.into())
    }

    pub async fn delivery(&self, workspace: &str, id: &str) -> Result<AudienceDelivery, Error> {
        let found = audiences::get(&self.shared.database, workspace, id).await?;
        found
            .map(Into::into)
            .ok_or_else(|| Error::Refused(Fault::not_found("audience delivery", id)))
    }

    pub async fn deliveries(
        &self,
        workspace: &str,
        asked: ListAsked,
    ) -> Result<ListAudienceDeliveriesResponse, Error> {
        let (database, size) = (&self.shared.database, asked.size);
        let mut found = audiences::page(database, workspace, &asked.after, size + 1).await?;
        let token = |last: &Delivery| page::name_token(&last.order.delivery_id);
        let next_page_token = page::cut(&mut found, size, token);
        Ok(ListAudienceDeliveriesResponse {
            audience_deliveries: found.into_iter().map(Into::into).collect(),
            next_page_token,
        })
    }

    pub async fn cancel_delivery(
        &self,
        caller: &Caller,
        id: &str,
    ) -> Result<AudienceDelivery, Error> {
        let workspace: Arc<str> = Arc::from(caller.workspace.as_str());
        let (of, name) = (workspace.clone(), id.to_owned());
        let cancelled = self.shared.database.write(move |tx| {
            let (workspace, id) = (of.clone(), name.clone());
            async move { audiences::cancel(tx, &workspace, &id, now_ms()).await }.boxed()
        });
        cancelled.await?;
        self.delivery(&workspace, id).await
    }
}
