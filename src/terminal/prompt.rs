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

use super::ask::typed;
use crate::app::App;
use crate::commands::completion::Completions;
use crate::conversation::Invocation;

/// How many lines the history keeps.
const HISTORY_LINES: usize = 1_000;

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
            // Where only one word fits, Tab writes it; where several do, what they have in common.
            .with_quick_completions(true)
            .with_partial_completions(true)
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
        let Invocation { speaker, text, .. } = typed(&line[..cursor], None);
        let Completions { start, words } = self.app.completions(&speaker, &text);
        let suggestion = |(value, description)| Suggestion {
            value,
            description,
            span: Span::new(start, cursor),
            append_whitespace: true,
            ..Suggestion::default()
        };
        words.into_iter().map(suggestion).collect()
    }
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
