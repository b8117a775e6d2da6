//! What is mounted into the pods.

use k8s_openapi::{
    api::core::v1::{ConfigMapVolumeSource, EmptyDirVolumeSource, KeyToPath, SecretVolumeSource, Volume, VolumeMount},
    apimachinery::pkg::api::resource::Quantity,
};

use super::{
    model::{self, Delivered},
    secret_files::{self, SecretFolder},
};
use crate::{api::UserIds, validate::ValidatedService};

/// Name of the volume with the ConfigMap.
const CONFIG: &str = "config";
/// Directories that the server may write to, with the most that they may hold.
const WRITABLE: [(&str, &str, &str); 2] = [("logs", "/app/logs", "64Mi"), ("tmp", "/app/tmp", "64Mi")];
/// For the group that `fsGroup` gives the files to.
const FOR_THE_GROUP: i32 = 0o440;
/// Where the platform may set no `fsGroup`. Nothing but the server runs in the pod.
const FOR_THE_POD: i32 = 0o444;

pub(super) fn build(service: &ValidatedService, delivered: &Delivered) -> Vec<Volume> {
    let writable = WRITABLE.iter().map(|(name, _, size)| Volume {
        name: (*name).to_owned(),
        empty_dir: Some(EmptyDirVolumeSource {
            size_limit: Some(Quantity((*size).to_owned())),
            ..EmptyDirVolumeSource::default()
        }),
        ..Volume::default()
    });
    let config = service.config_map.iter().map(|name| Volume {
        name: CONFIG.to_owned(),
        config_map: Some(ConfigMapVolumeSource { name: name.clone(), ..ConfigMapVolumeSource::default() }),
        ..Volume::default()
    });
    let secrets = secret_files::of(service).into_iter().map(|folder| secret(service, &folder));
    writable.chain(config).chain(secrets).chain(delivered.volumes.iter().cloned()).collect()
}

/// A pod waits for it, and doesn't do without: the server would serve whoever comes.
fn secret(service: &ValidatedService, folder: &SecretFolder<'_>) -> Volume {
    let items = folder.files.iter().map(|file| item(file.key, file.name)).collect();
    of_secret(service, folder.volume, folder.secret, Some(items))
}

/// A Secret, or the items of it that are given.
pub(super) fn of_secret(
    service: &ValidatedService,
    volume: &str,
    secret: &str,
    items: Option<Vec<KeyToPath>>,
) -> Volume {
    Volume {
        name: volume.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret.to_owned()),
            items,
            default_mode: Some(match service.user_ids {
                UserIds::Fixed => FOR_THE_GROUP,
                UserIds::Platform => FOR_THE_POD,
            }),
            optional: Some(false),
        }),
        ..Volume::default()
    }
}

pub(super) fn item(key: &str, path: &str) -> KeyToPath {
    KeyToPath { key: key.to_owned(), path: path.to_owned(), mode: None }
}

pub(super) fn mounts(service: &ValidatedService, delivered: &Delivered) -> Vec<VolumeMount> {
    let writable = WRITABLE.iter().map(|(name, path, _)| mount(name, (*path).to_owned(), false));
    let config = service.config_map.iter().map(|_| config_mount());
    let secrets = secret_files::of(service);
    let secrets = secrets.iter().map(|folder| mount(folder.volume, folder.path(), true));
    writable.chain(config).chain(secrets).chain(delivered.mount.clone()).collect()
}

/// The ConfigMap of the spec, which may have the authorities of a network too.
pub(super) fn config_mount() -> VolumeMount {
    mount(CONFIG, "/app/config".to_owned(), true)
}

fn mount(name: &str, path: String, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path,
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}

/// Names of the volumes that a node may be emptied in spite of: nothing in them outlives the pod.
pub(super) fn expendable(delivered: &Delivered) -> String {
    let names = WRITABLE.iter().map(|(name, ..)| *name).chain(model::expendable(delivered));
    names.collect::<Vec<_>>().join(",")
}
