//! D: nobody is sent to another origin.
