//! Files as the kubelet mounts them: each version in a folder, and a link that is changed at once.

use std::{fs, os::unix::fs::symlink, path::PathBuf};

use super::Folder;

pub struct Mounted {
    folder: Folder,
    version: u32,
}

impl Mounted {
    /// Files by name, with their content.
    pub fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let mut mounted = Self { folder: Folder::new(name), version: 0 };
        mounted.set(files);
        for (file, _) in files {
            symlink(format!("..data/{file}"), mounted.folder.file(file)).unwrap();
        }
        mounted
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.file(name)
    }

    /// Another version of all files.
    pub fn set(&mut self, files: &[(&str, &str)]) {
        self.version += 1;
        let version = self.folder.file(&format!("..{}", self.version));
        fs::create_dir(&version).unwrap();
        for (file, content) in files {
            fs::write(version.join(file), content).unwrap();
        }
        symlink(&version, self.folder.file("..data_tmp")).unwrap();
        fs::rename(self.folder.file("..data_tmp"), self.folder.file("..data")).unwrap();
    }
}
