# Writes OUTPUT, a C file with every file of FILES (separated by "|") as a byte array, in the order
# of their names. Run by the build: cmake -DFILES=... -DOUTPUT=... -P embed.cmake
string(REPLACE "|" ";" files "${FILES}")
list(SORT files)
set(code "/* Made from migrations/NNNN_*.sql by embed.cmake. */\n#include \"db/migrate_internal.h\"\n")
set(table "")
foreach(file IN LISTS files)
  get_filename_component(name ${file} NAME_WE)
  string(REGEX MATCH "^[0-9]+" digits ${name})
  math(EXPR number "1${digits} - 10000") # four digits, without reading them as octal
  file(READ ${file} hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  string(REGEX REPLACE "(................................................................................)"
         "\\1\n" bytes "${bytes}")
  string(APPEND code "static const unsigned char sql_${digits}[] = {\n${bytes}0x00};\n")
  string(APPEND table "    {${number}, \"${name}\", (const char *)sql_${digits}},\n")
endforeach()
list(LENGTH files count)
string(APPEND code "const struct migration migrations[] = {\n${table}};\n"
       "const int migration_count = ${count};\n")
file(WRITE ${OUTPUT} "${code}")
