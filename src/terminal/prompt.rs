//! The prompt of `idp demo`: completion and history.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use reedline::{
    ColumnarMenu, Completer, Emacs, FileBackedHistory, KeyCode, KeyModifiers, MenuBuilder, Prompt,
    PromptEditMode, PromptHistorySearch, Reedline, ReedlineEvent, ReedlineMenu, Signal, Span,
    Suggestion, default_emacs_keybindings,
};

use crate::app::App;

/// How many lines the history keeps.
const HISTORY_LINES: usize = 1_000;
/// The most completions that are offered at once.
const COMPLETIONS_MAX: usize = 40;

/// A line editor that knows the commands and the entities of `app`.
pub struct Reader {
    editor: Reedline,
}

impl Reader {
    /// `history` is the file that keeps what was typed.
    ///
    /// # Errors
    /// A history that can neither be read nor made.
    pub fn new(app: Arc<App>, history: &Path) -> anyhow::Result<Reader> {
        const MENU: &str = "completions";
        let history = FileBackedHistory::with_file(HISTORY_LINES, history.to_path_buf())
            .context("could not open the history of the prompt")?;
        let mut keys = default_emacs_keybindings();
        let complete = ReedlineEvent::UntilFound(vec![
            ReedlineEvent::Menu(MENU.to_string()),
            ReedlineEvent::MenuNext,
        ]);
        keys.add_binding(KeyModifiers::NONE, KeyCode::Tab, complete);
        keys.add_binding(KeyModifiers::SHIFT, KeyCode::BackTab, ReedlineEvent::MenuPrevious);
        let menu = ColumnarMenu::default().with_name(MENU);
        let editor = Reedline::create()
            .with_history(Box::new(history))
            .with_completer(Box::new(Names { app }))
            .with_menu(ReedlineMenu::EngineCompleter(Box::new(menu)))
            .with_edit_mode(Box::new(Emacs::new(keys)));
        Ok(Reader { editor })
    }

    /// The next line; `None` when the person wants to leave.
    ///
    /// # Errors
    /// A terminal that is gone.
    pub fn read(&mut self) -> anyhow::Result<Option<String>> {
        match self.editor.read_line(&Sign).context("could not read from the terminal")? {
            Signal::Success(line) => Ok(Some(line)),
            _ => Ok(None),
        }
    }
}

/// The words that fit what was typed so far.
struct Names {
    app: Arc<App>,
}

impl Completer for Names {
    fn complete(&mut self, line: &str, cursor: usize) -> Vec<Suggestion> {
        let (start, begun) = last_word(&line[..cursor]);
        let span = Span::new(start, cursor);
        let suggestion = |value: &str, description: Option<String>| Suggestion {
            value: value.to_string(),
            description,
            span,
            append_whitespace: true,
            ..Suggestion::default()
        };
        if start == 0 {
            let commands = self.app.commands.load();
            let names = commands.names().into_iter();
            return names
                .filter(|(name, _)| fits(name, begun))
                .map(|(name, summary)| suggestion(name, Some(summary.to_string())))
                .collect();
        }
        let snapshot = self.app.catalog.snapshot();
        let fitting = snapshot.entities().filter(|entity| fits(&entity.name, begun));
        let mut names: Vec<&str> = fitting.map(|entity| &*entity.name).collect();
        names.sort_unstable();
        names.dedup();
        names.iter().take(COMPLETIONS_MAX).map(|name| suggestion(name, None)).collect()
    }
}

/// Where the word that ends at the cursor starts, in bytes, and what there is of it.
fn last_word(before_cursor: &str) -> (usize, &str) {
    let start = before_cursor.rfind(char::is_whitespace).map_or(0, |at| at + 1);
    (start, &before_cursor[start..])
}

fn fits(name: &str, begun: &str) -> bool {
    name.get(..begun.len()).is_some_and(|start| start.eq_ignore_ascii_case(begun))
}

/// `idp>`.
struct Sign;

impl Prompt for Sign {
    fn render_prompt_left(&self) -> Cow<'_, str> {
        Cow::Borrowed("idp")
    }

    fn render_prompt_right(&self) -> Cow<'_, str> {
        Cow::Borrowed("")
    }

    fn render_prompt_indicator(&self, _mode: PromptEditMode) -> Cow<'_, str> {
        Cow::Borrowed("> ")
    }

    fn render_prompt_multiline_indicator(&self) -> Cow<'_, str> {
        Cow::Borrowed("  ")
    }

    fn render_prompt_history_search_indicator(&self, search: PromptHistorySearch) -> Cow<'_, str> {
        Cow::Owned(format!("(search: {}) ", search.term))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_at_the_cursor_is_completed() {
        assert_eq!(last_word("own"), (0, "own"));
        assert_eq!(last_word("owner pay"), (6, "pay"));
        assert_eq!(last_word("owner "), (6, ""));
        assert_eq!(last_word(""), (0, ""));
        assert!(fits("payment-api", "PAY") && !fits("pay", "payment") && !fits("é", "x"));
    }
}
