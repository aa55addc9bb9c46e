//! The words of a source, without comments and without code for unit tests.

use proc_macro2::{Delimiter, LexError, TokenStream, TokenTree};

/// The words of a source, each between blanks.
#[derive(Debug, Default)]
pub struct Code {
    words: String,
    /// The modules in separate files.
    pub modules: Vec<String>,
    /// The modules of the crate's root that it names by `crate::`, with their lines.
    pub uses: Vec<(String, usize)>,
}

impl Code {
    pub fn parse(source: &str) -> Result<Self, LexError> {
        let mut code = Self { words: " ".to_owned(), ..Self::default() };
        code.add(source.parse()?);
        Ok(code)
    }

    /// Whether it contains these consecutive words.
    pub fn has_words(&self, words: &str) -> bool {
        Self::parse(words).is_ok_and(|words| self.words.contains(&words.words))
    }

    /// Whether one of its words contains this text.
    pub fn has_text(&self, text: &str) -> bool {
        self.words.contains(text)
    }

    fn add(&mut self, tokens: TokenStream) {
        let mut tokens = tokens.into_iter().peekable();
        let mut last = [const { String::new() }; 2];
        while let Some(token) = tokens.next() {
            // An attribute, which includes doc comments.
            if is_punct(&token, '#') {
                tokens.next_if(|token| is_punct(token, '!'));
                let Some(TokenTree::Group(group)) = tokens.next_if(is_bracketed) else { continue };
                let attribute = group.stream().to_string().replace(' ', "");
                if attribute == "cfg(test)" {
                    skip(&mut tokens);
                } else if !attribute.starts_with("doc=") {
                    self.add(group.stream());
                }
                continue;
            }
            if let [before, name] = &last
                && before == "mod"
                && is_punct(&token, ';')
            {
                self.modules.push(name.clone());
            }
            match token {
                TokenTree::Group(group) => {
                    if self.words.ends_with(" crate : : ") {
                        self.use_each_of(group.stream());
                    }
                    self.add(group.stream());
                }
                token => {
                    if let TokenTree::Ident(module) = &token
                        && self.words.ends_with(" crate : : ")
                    {
                        self.uses.push((module.to_string(), module.span().start().line));
                    }
                    last = [std::mem::take(&mut last[1]), token.to_string()];
                    self.words.push_str(&last[1]);
                    self.words.push(' ');
                }
            }
        }
    }
}

impl Code {
    /// Collects the first name of each path in the braces of `crate::{…}`.
    fn use_each_of(&mut self, paths: TokenStream) {
        let mut is_first = true;
        for token in paths {
            match &token {
                TokenTree::Ident(module) if is_first => {
                    self.uses.push((module.to_string(), module.span().start().line));
                    is_first = false;
                }
                token => is_first = is_punct(token, ','),
            }
        }
    }
}

/// Skips the item of an attribute: up to a semicolon, a block, or a comma that is not between angle
/// brackets.
fn skip(tokens: &mut impl Iterator<Item = TokenTree>) {
    let (mut depth, mut is_arrow) = (0_i32, false);
    for token in tokens {
        match &token {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => return,
            TokenTree::Punct(punct) => match punct.as_char() {
                ';' => return,
                ',' if depth == 0 => return,
                '<' => depth += 1,
                '>' if !is_arrow => depth -= 1,
                _ => {}
            },
            _ => {}
        }
        is_arrow = is_punct(&token, '-') || is_punct(&token, '=');
    }
}

fn is_bracketed(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Bracket)
}

fn is_punct(token: &TokenTree, punct: char) -> bool {
    matches!(token, TokenTree::Punct(found) if found.as_char() == punct)
}
