//! The contract's comments, by the place in their file. Reads source information only.

use std::collections::HashMap;

use attune_api::DESCRIPTORS;
use prost_reflect::FileDescriptor;

/// All leading comments.
pub struct Comments(HashMap<(String, Vec<i32>), String>);

impl Comments {
    pub fn read() -> Self {
        let mut comments = HashMap::new();
        for file in DESCRIPTORS.files() {
            let Some(info) = &file.file_descriptor_proto().source_code_info else {
                continue;
            };
            for location in &info.location {
                let text = tidy(location.leading_comments());
                if !text.is_empty() {
                    let place = (file.name().to_owned(), location.path.clone());
                    comments.insert(place, text);
                }
            }
        }
        Self(comments)
    }

    pub fn of(&self, file: &FileDescriptor, path: &[i32]) -> Option<String> {
        let place = (file.name().to_owned(), path.to_vec());
        self.0.get(&place).cloned()
    }
}

/// Without the blank after the slashes; lines of a paragraph are joined.
fn tidy(comment: &str) -> String {
    let paragraphs = comment.split("\n \n").flat_map(|p| p.split("\n\n"));
    let paragraphs: Vec<_> = paragraphs
        .map(|p| p.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|p| !p.is_empty())
        .collect();
    paragraphs.join("\n\n")
}
