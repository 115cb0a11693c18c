# For drivers in this tree and for vendors' own (find_package(MagnumSDK)).
#
# magnum_add_plugin(name SOURCES ... MANIFEST file.yaml [LINKS ...] [FILES ...] [COMPONENT c]
#   [NO_INSTALL]): one plugin library that exports exactly mag_plugin_entry, C or C++, with its
#   manifest and FILES beside it in <build>/plugins. Installed into lib/magnum/plugins.
#
# magnum_check_plugin(name [ARGS ...] [TIMEOUT s] [LABELS ...]): one CTest test, check/<name>, that
#   runs magnum-driver-check over the plugin; its verdict is <build>/plugins/<manifest>.verdict.json.

# The flags that make a plugin what the host wants to load.
function(_magnum_plugin_flags name map)
  file(WRITE ${map} "{ global: mag_plugin_entry; local: *; };\n")
  set_target_properties(${name} PROPERTIES PREFIX "" SUFFIX ".so" C_VISIBILITY_PRESET hidden
    CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON POSITION_INDEPENDENT_CODE ON)
  target_compile_features(${name} PRIVATE c_std_11)
  target_link_options(${name} PRIVATE -Wl,-z,now -Wl,-z,relro -Wl,-z,noexecstack
    -Wl,--version-script=${map})
  if(NOT MAGNUM_SANITIZE)
    target_link_options(${name} PRIVATE -Wl,-z,defs)
  endif()
endfunction()

function(magnum_add_plugin name)
  cmake_parse_arguments(A "NO_INSTALL" "MANIFEST;COMPONENT" "SOURCES;LINKS;FILES" ${ARGN})
  set(dir ${CMAKE_BINARY_DIR}/plugins)
  if(NOT A_COMPONENT)
    set(A_COMPONENT plugins-${name})
  endif()
  add_library(${name} MODULE ${A_SOURCES})
  _magnum_plugin_flags(${name} ${CMAKE_CURRENT_BINARY_DIR}/${name}.map)
  get_filename_component(manifest ${A_MANIFEST} NAME)
  set_target_properties(${name} PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${dir}
    MAGNUM_MANIFEST ${dir}/${manifest})
  target_link_libraries(${name} PRIVATE Magnum::headers ${A_LINKS})
  if(TARGET magnum_flags)
    target_link_libraries(${name} PRIVATE magnum_flags)
  endif()
  foreach(f IN LISTS A_MANIFEST A_FILES)
    get_filename_component(base ${f} NAME)
    configure_file(${f} ${dir}/${base} COPYONLY)
  endforeach()
  if(TARGET programs)
    add_dependencies(programs ${name})
  endif()
  if(NOT A_NO_INSTALL AND CMAKE_INSTALL_LIBDIR)
    set(to ${CMAKE_INSTALL_LIBDIR}/magnum/plugins)
    install(TARGETS ${name} LIBRARY DESTINATION ${to} COMPONENT ${A_COMPONENT})
    install(FILES ${A_MANIFEST} ${A_FILES} DESTINATION ${to} COMPONENT ${A_COMPONENT})
  endif()
endfunction()

function(magnum_check_plugin name)
  cmake_parse_arguments(A "" "TIMEOUT" "ARGS;LABELS" ${ARGN})
  if(NOT A_TIMEOUT)
    set(A_TIMEOUT 300)
  endif()
  get_target_property(manifest ${name} MAGNUM_MANIFEST)
  string(REGEX REPLACE "\\.yaml$" ".verdict.json" verdict ${manifest})
  add_test(NAME check/${name}
    COMMAND Magnum::driver-check --json ${verdict} ${A_ARGS} ${manifest})
  set_tests_properties(check/${name} PROPERTIES TIMEOUT ${A_TIMEOUT} LABELS "${A_LABELS}")
endfunction()
