//! The pods' ServiceAccount: the server never talks to the API server, so it gets no token.

use k8s_openapi::api::core::v1::ServiceAccount;

use super::metadata;
use crate::validate::ValidatedService;

/// `None` where the spec names an account of somebody else's.
pub(super) fn build(service: &ValidatedService) -> Option<ServiceAccount> {
    service.service_account.is_none().then(|| ServiceAccount {
        metadata: metadata(service),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    })
}
