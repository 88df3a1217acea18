//! Drops decisions about consent that others have taken the place of, as long ago as the
//! class of the history says. Never one that holds, nor one that would hold again if a
//! merge were undone: which those are is the domain's to say.

use std::sync::Arc;

use futures::FutureExt;

use super::{Keep, ROWS_MAX};
use crate::{
    Error,
    domain::{
        ProfileId,
        retention::{self, Superseded},
    },
    store::{
        self,
        consents::{self, OldDecision},
        timeline::Place,
    },
};

impl Keep<'_> {
    pub(super) async fn drop_decisions(&self, people: &[ProfileId]) -> Result<(), Error> {
        let Some(before_ms) = self.consents_ms else {
            return Ok(());
        };
        let shared = &self.service.shared;
        let (database, codec) = (&shared.database, &shared.codec);
        let mut superseded = Superseded::default();
        let mut after = None;
        loop {
            let (old, next) = consents::old(
                database,
                codec,
                &self.workspace,
                people,
                before_ms,
                after.as_ref(),
                ROWS_MAX,
            )
            .await?;
            let gone = old.into_iter().filter_map(|decision| {
                let OldDecision {
                    owner,
                    purpose,
                    place,
                } = decision;
                let place = superseded.take(owner, purpose, place)?;
                Some((owner.profile_id, place))
            });
            self.drop_places(gone.collect()).await?;
            match next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    async fn drop_places(&self, places: Vec<(ProfileId, Place)>) -> Result<(), Error> {
        if places.is_empty() {
            return Ok(());
        }
        let asked = Arc::new((self.workspace.clone(), places));
        let shared = &self.service.shared;
        let dropped = shared
            .database
            .write(move |tx| {
                let asked = asked.clone();
                async move {
                    store::lock(tx, 0).await?;
                    let (workspace, places) = &*asked;
                    Ok::<_, Error>(consents::remove(tx, workspace, places).await?)
                }
                .boxed()
            })
            .await?;
        let dropped = usize::try_from(dropped).unwrap_or(usize::MAX);
        shared.metrics.expired(retention::CONSENT_HISTORY, dropped);
        Ok(())
    }
}
