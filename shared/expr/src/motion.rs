//! Which expressions change at times that can be told ahead. Judged from the tree alone,
//! before anybody is: what is let pass here always has a known course.

use crate::{
    functions::Function,
    node::{Node, Operator},
    value::TypeName,
};

/// What time does to a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Motion {
    /// It stays, or changes at times that can be told.
    Told,
    /// A time or a duration that moves with the clock.
    Moving,
    /// It cannot be told.
    Untold,
}

/// What time does to a node, if nothing else changes.
pub(crate) fn motion(node: &Node) -> Motion {
    if !node.reads_time() {
        return Motion::Told;
    }
    match node {
        Node::Load(_) => Motion::Moving,
        Node::And(_) | Node::Or(_) | Node::AtLeast(..) | Node::Not(_) | Node::Has(_) => {
            unless_untold(node, Motion::Told)
        }
        Node::Compare(..) | Node::Aggregate(_) => unless_untold(node, Motion::Told),
        Node::Conditional(parts) => {
            let [_, then, otherwise] = &**parts;
            unless_untold(node, either(then, otherwise))
        }
        Node::Arithmetic(Operator::Add | Operator::Subtract, left, right) => {
            unless_untold(node, either(left, right))
        }
        // Times and durations do not multiply.
        Node::Arithmetic(..) => unless_untold(node, Motion::Told),
        Node::Negate(of) => motion(of),
        Node::Call(function, arguments) => call(*function, arguments),
        Node::Quantify(_, list, test) | Node::Filter(list, test) => match motion(list) {
            Motion::Told => told_if(motion(test) != Motion::Untold),
            _ => Motion::Untold,
        },
        _ => {
            let mut all_told = true;
            node.each_child(&mut |child| all_told &= motion(child) == Motion::Told);
            told_if(all_told)
        }
    }
}

fn told_if(is_told: bool) -> Motion {
    match is_told {
        true => Motion::Told,
        false => Motion::Untold,
    }
}

fn unless_untold(node: &Node, motion_of_it: Motion) -> Motion {
    let mut untold = false;
    node.each_child(&mut |child| untold |= motion(child) == Motion::Untold);
    if untold { Motion::Untold } else { motion_of_it }
}

fn either(a: &Node, b: &Node) -> Motion {
    if motion(a) == Motion::Moving || motion(b) == Motion::Moving {
        Motion::Moving
    } else {
        Motion::Told
    }
}

fn call(function: Function, arguments: &[Node]) -> Motion {
    let first = arguments.first().map_or(Motion::Told, motion);
    let rest_is_told = arguments.iter().skip(1).all(|a| motion(a) == Motion::Told);
    match (function, first) {
        (_, Motion::Untold) => Motion::Untold,
        (
            Function::Dyn | Function::Convert(TypeName::Time | TypeName::Duration),
            Motion::Moving,
        ) => Motion::Moving,
        (Function::Type, _) => Motion::Told,
        (Function::Clock(part), Motion::Moving) => told_if(part.is_coarse() && rest_is_told),
        (_, Motion::Moving) => Motion::Untold,
        (_, Motion::Told) => told_if(rest_is_told),
    }
}
