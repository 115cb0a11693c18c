//! Prints "struct member offset size" of the hand-written bindings, for the test that compares them
//! with the frozen layout of the C headers.
mod magnum;

fn main() {
    for (name, member, offset, size) in magnum::layout() {
        println!("{} {} {} {}", name, member, offset, size);
    }
    println!("MAG_PLUGIN_MAGIC {:#x}", magnum::MAG_PLUGIN_MAGIC);
    println!("MAG_ABI_MAJOR {}", magnum::MAG_ABI_MAJOR);
    println!("MAG_ABI_MINOR {}", magnum::MAG_ABI_MINOR);
}
