//! Files in a folder.

use std::{fs::File, io, path::Path};

use walkdir::WalkDir;

use crate::judge::leaks::{Search, places};

/// Searches all files below `root`, but for the places where values belong. What is linked belongs to somebody else.
pub fn folder(search: &Search, name: &str, root: &Path) {
    let label = |path: &Path| format!("{name}: {}", path.strip_prefix(root).unwrap_or(path).display());
    // What has vanished meanwhile is no artifact any more.
    let gone = |e: Option<&io::Error>| e.is_some_and(|e| e.kind() == io::ErrorKind::NotFound);
    let within = |path: &Path| path.strip_prefix(root).is_ok_and(places::belong_at);
    for entry in WalkDir::new(root).into_iter().filter_entry(|entry| !within(entry.path())) {
        match entry {
            Ok(entry) if entry.file_type().is_file() => match File::open(entry.path()) {
                Ok(file) => search.read(&label(entry.path()), file),
                Err(e) if gone(Some(&e)) => {}
                Err(e) => search.missed(&label(entry.path()), e),
            },
            Ok(_) => {}
            Err(e) if e.depth() > 0 && gone(e.io_error()) => {}
            Err(e) => search.missed(&label(e.path().unwrap_or(root)), &e),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;
    use crate::judge::leaks::scanner::needles;

    #[test]
    fn files_are_searched_where_values_do_not_belong() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let value = "0123456789abcdef";
        let search = Search::new(needles([("v".to_owned(), value.to_owned())]).unwrap());
        for (place, text) in
            [("logs/a.log", value), ("logs/b.log", "nothing"), ("volumes/kubernetes.io~secret/a", value)]
        {
            let path = folder.path().join(place);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        fs::write(elsewhere.path().join("image"), value).unwrap();
        symlink(elsewhere.path(), folder.path().join("link")).unwrap();
        super::folder(&search, "a world", folder.path());
        super::folder(&search, "nothing", &folder.path().join("absent"));
        let searched = search.end();
        assert_eq!(searched.artifacts, 2);
        let finds: Vec<&str> = searched.finds.iter().map(|find| find.artifact.as_str()).collect();
        assert_eq!(finds, ["a world: logs/a.log"]);
        assert_eq!(searched.missed.len(), 1, "{:?}", searched.missed);
    }
}
